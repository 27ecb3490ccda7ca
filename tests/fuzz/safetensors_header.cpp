#include "tests/fuzz/target.hpp"

#include "runtime/checkpoint/safetensors.hpp"
#include "tests/fuzz/checks.hpp"

namespace troupe::fuzz {

void safetensors_header(input x) {
  static const scratch_folder folder;
  auto tensors = parse_safetensors("it", bytes_of(x));
  check_refusal(tensors);
  auto file = input_file::open(folder.write("it.safetensors", x));
  CHECK(file);
  auto stored = read_header(*file);
  check_refusal(stored);
  CHECK(bool(stored) == bool(tensors));
  if (!tensors)
    return;
  CHECK(stored->size() == tensors->size());
  for (auto& [name, tensor] : *stored) {
    CHECK(tensor.offset <= x.size());
    CHECK(tensor.num_bytes <= x.size() - tensor.offset);
    CHECK(tensors->contains(name));
  }
}

} // namespace troupe::fuzz
