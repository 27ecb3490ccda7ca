#include "tests/fuzz/target.hpp"

#include "runtime/checkpoint/checkpoint.hpp"
#include "tests/fuzz/checks.hpp"

namespace troupe::fuzz {

namespace {

/// A model of two files with a tensor each, beside the index that is tried.
const scratch_folder& model() {
  static const scratch_folder folder;
  static const bool written = [] {
    const float one[] = {1};
    for (auto name : {"a", "b"}) {
      safetensors_writer out;
      out.add(name, {1}, one);
      CHECK(out.write(folder.path() / (name + std::string{".safetensors"})));
    }
    return true;
  }();
  CHECK(written);
  return folder;
}

} // namespace

void index_json(input x) {
  auto& folder = model();
  folder.write("model.safetensors.index.json", x);
  static const auto config = std::make_shared<const model_config>();
  auto opened = checkpoint::open(folder.path(), config);
  check_refusal(opened);
  if (opened)
    for (auto& name : opened->names())
      CHECK(opened->read_floats(name, *opened->find(name)));
}

} // namespace troupe::fuzz
