#include "runtime/checkpoint/checkpoint.hpp"

#include "runtime/checkpoint/regular_file.hpp"
#include "runtime/json/field_reader.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace troupe {

using nlohmann::json;

namespace {

constexpr size_t max_index_bytes = 100'000'000;

/// Which tensors each shard has to hold.
using shard_index = std::map<std::string, std::vector<std::string>>;

failure bad_index(const std::string& why) {
  return {errc::invalid_input, std::string{index_name} + why};
}

/// A name within the directory: no path, nothing hidden.
bool is_file_name(std::string_view name) {
  return !name.empty() && name.size() <= 255 && name.front() != '.'
         && name.find_first_of(std::string_view{"/\\\0", 3})
              == std::string_view::npos
         && name.ends_with(".safetensors");
}

constexpr harmless_key harmless_metadata[] = {
  {"total_size", "headers say it themselves"},
  {"total_parameters", "headers say it themselves"},
};

result<shard_index> parse_index(std::string_view text) {
  auto in = field_reader::parse(index_name, text);
  if (!in)
    return in.why();
  // Nothing that decides may stand beside the map.
  if (auto metadata = in->object("metadata")) {
    metadata->refuse_unknown(harmless_metadata);
    in->absorb(*metadata);
  }
  auto* map = in->find("weight_map");
  in->refuse_unknown({});
  if (!in->trouble().empty())
    return failure{errc::invalid_input, in->trouble()};
  if (!map || !map->is_object() || map->empty())
    return bad_index(" has no weight_map");
  shard_index out;
  for (auto& [tensor, shard] : map->items()) {
    auto text = shard.is_string() ? shard.get<std::string>() : std::string{};
    if (!is_file_name(text))
      return bad_index(": the file of tensor " + tensor.substr(0, 512)
                       + " is no plain name of a safetensors file");
    out[text].push_back(tensor);
  }
  if (out.size() > max_shards)
    return bad_index(" names too many files");
  return out;
}

result<shard_index> read_index(const std::filesystem::path& path) {
  auto text = read_regular_file(path, max_index_bytes);
  return text ? parse_index(*text) : result<shard_index>{text.why()};
}

/// Index and header have to name the same tensors.
result<void> check_shard(const std::string& shard,
                         std::vector<std::string> indexed,
                         const stored_map& tensors) {
  for (auto& name : indexed)
    if (!tensors.contains(name))
      return failure{errc::invalid_input, "tensor " + name.substr(0, 512)
                                            + " is not in " + shard
                                            + " where the index says"};
  std::ranges::sort(indexed);
  for (auto& [name, x] : tensors)
    if (!std::ranges::binary_search(indexed, name))
      return failure{errc::invalid_input,
                     "tensor " + name + " is in " + shard
                       + " though the index does not say so"};
  return {};
}

} // namespace

result<checkpoint>
checkpoint::open(const std::filesystem::path& model_dir,
                 std::shared_ptr<const model_config> config) {
  shard_index index;
  std::error_code ignored;
  auto is_single = std::filesystem::exists(model_dir / "model.safetensors",
                                           ignored);
  if (is_single) {
    index["model.safetensors"];
  } else if (std::filesystem::exists(model_dir / index_name, ignored)) {
    auto found = read_index(model_dir / index_name);
    if (!found)
      return found.why();
    index = std::move(*found);
  } else {
    return failure{errc::not_found, model_dir.string()
                                      + " holds neither model.safetensors nor "
                                      + index_name};
  }
  checkpoint out;
  out.directory_ = model_dir;
  out.config_ = config ? result<model_config>{*config}
                       : read_model_config(model_dir);
  for (auto& [shard, indexed] : index) {
    auto file = input_file::open(model_dir / shard);
    if (!file)
      return file.why();
    auto tensors = read_header(*file);
    if (!tensors)
      return tensors.why();
    if (auto ok = is_single ? result<void>{}
                            : check_shard(shard, indexed, *tensors);
        !ok)
      return ok.why();
    if (auto ok = out.add(std::move(*file), std::move(*tensors)); !ok)
      return ok.why();
  }
  return out;
}

result<void> checkpoint::add(input_file file, stored_map tensors) {
  for (auto& [name, x] : tensors) {
    x.file = static_cast<uint32_t>(files_.size());
    if (!tensors_.emplace(name, std::move(x)).second)
      return failure{errc::invalid_input,
                     "tensor " + name + " is in two files"};
  }
  files_.push_back(std::move(file));
  return {};
}

const stored_tensor* checkpoint::find(std::string_view name) const {
  auto at = tensors_.find(name);
  return at == tensors_.end() ? nullptr : &at->second;
}

result<void> checkpoint::read(const stored_tensor& x, uint64_t first,
                              std::span<std::byte> out,
                              const bytes_seen& seen) const {
  CHECK(first <= x.num_bytes && out.size() <= x.num_bytes - first);
  return files_.at(x.file).read(x.offset + first, out, seen);
}

result<std::vector<std::byte>> checkpoint::read(const stored_tensor& x) const {
  std::vector<std::byte> out(x.num_bytes);
  if (auto ok = read(x, 0, out); !ok)
    return ok.why();
  return out;
}

result<std::vector<float>>
checkpoint::read_floats(std::string_view name, const stored_tensor& x) const {
  auto bytes = read(x);
  if (!bytes)
    return bytes.why();
  return to_floats(name, {x.dtype, x.shape, *bytes});
}

std::vector<std::string> checkpoint::names() const {
  std::vector<std::string> out;
  out.reserve(tensors_.size());
  for (auto& [name, x] : tensors_)
    out.push_back(name);
  return out;
}

result<void> checkpoint::check_unchanged() const {
  for (auto& file : files_)
    if (auto ok = file.check_unchanged(); !ok)
      return ok;
  return {};
}

result<void>
checkpoint::check_no_source(const std::filesystem::path& out) const {
  std::vector<std::filesystem::path> sources;
  for (auto& file : files_)
    sources.push_back(file.path());
  std::error_code error;
  for (auto& entry : std::filesystem::directory_iterator{directory_, error})
    if (entry.path().extension() == ".json")
      sources.push_back(entry.path());
  for (auto& source : sources)
    if (std::filesystem::equivalent(source, out, error))
      return failure{errc::invalid_input,
                     out.string() + " is " + source.string()
                       + ", which is read: write to another file"};
  return {};
}

} // namespace troupe
