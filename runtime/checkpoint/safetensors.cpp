#include "runtime/checkpoint/safetensors.hpp"

#include "runtime/checkpoint/output_file.hpp"
#include "runtime/json/field_reader.hpp"
#include "runtime/json/strict_json.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstring>
#include <optional>

namespace troupe {

using nlohmann::json;

namespace {

constexpr uint64_t max_header_bytes = 100'000'000;
constexpr size_t max_tensors = 1'000'000;
constexpr size_t max_rank = 8;
constexpr uint64_t length_bytes = 8; // of the header, before it
constexpr size_t max_name_bytes = 512;

bool is_plain(std::string_view name) {
  return !name.empty() && name.size() <= max_name_bytes
         && std::all_of(name.begin(), name.end(),
                        [](unsigned char c) { return c >= 0x20 && c < 0x7f; });
}

/// Bytes of a file, or of its data part.
struct range {
  uint64_t begin = 0;
  uint64_t end = 0;
};

std::optional<range> parse_range(const json& x) {
  if (!x.is_array() || x.size() != 2 || !x[0].is_number_unsigned()
      || !x[1].is_number_unsigned())
    return std::nullopt;
  return range{x[0].get<uint64_t>(), x[1].get<uint64_t>()};
}

/// Appends the dimensions to `shape` and multiplies them into `bytes`.
bool parse_shape(const json& x, std::vector<uint64_t>& shape, uint64_t& bytes) {
  if (!x.is_array() || x.size() > max_rank)
    return false;
  for (auto& dim : x) {
    if (!dim.is_number_unsigned())
      return false;
    shape.push_back(dim.get<uint64_t>());
    if (__builtin_mul_overflow(bytes, shape.back(), &bytes))
      return false;
  }
  return true;
}

/// Reads one entry of a header, whose tensors lie in `data` of the file, or
/// says in few words what is wrong.
std::string parse_entry(const json& x, const range& data, stored_tensor& out) {
  if (!x.is_object() || x.size() != 3 || !x.contains("dtype")
      || !x.contains("shape") || !x.contains("data_offsets"))
    return "must have dtype, shape and data_offsets and nothing else";
  auto& name = x["dtype"];
  auto type = name.is_string()
                ? parse_tensor_type(name.get_ref<const std::string&>())
                : std::nullopt;
  if (!type)
    return "has an unknown dtype";
  out.dtype = *type;
  uint64_t bytes = size_of(*type);
  if (!parse_shape(x["shape"], out.shape, bytes))
    return "has no valid shape of at most 8 dimensions";
  auto offsets = parse_range(x["data_offsets"]);
  if (!offsets || offsets->begin > offsets->end
      || offsets->end > data.end - data.begin)
    return "has data_offsets outside of the file";
  if (offsets->end - offsets->begin != bytes)
    return "has " + std::to_string(offsets->end - offsets->begin)
           + " bytes where its shape needs " + std::to_string(bytes);
  out.offset = data.begin + offsets->begin;
  out.num_bytes = bytes;
  return {};
}

bool is_metadata(const json& x) {
  return x.is_object() && std::all_of(x.begin(), x.end(), [](auto& value) {
           return value.is_string();
         });
}

constexpr harmless_key harmless_in_header[] = {
  {"format", "names the library that wrote it; bytes are the same in all"},
  {"model", "names the model whose numbers these are"},
  {"total_size", "the header says it itself"},
  {"total_parameters", "the header says it itself"},
};

/// The first key that might say how to make numbers of the bytes, or nothing.
std::optional<std::string> unknown_key(const json& metadata) {
  for (auto& [key, value] : metadata.items())
    if (std::ranges::none_of(harmless_in_header,
                             [&key = key](auto& x) { return x.name == key; }))
      return key.substr(0, max_name_bytes);
  return std::nullopt;
}

/// The tensors have to cover `data` without holes and overlap.
result<void> check_contiguous(const std::string& what, const stored_map& all,
                              const range& data) {
  std::vector<const stored_map::value_type*> placed;
  placed.reserve(all.size());
  for (auto& x : all)
    placed.push_back(&x);
  std::ranges::sort(placed, {}, [](auto* x) {
    return std::pair{x->second.offset, x->second.num_bytes};
  });
  auto end = data.begin;
  for (auto* x : placed) {
    auto begin = x->second.offset;
    if (begin != end)
      return failure{
        errc::invalid_input,
        what + ": tensor " + x->first
          + (begin < end ? " overlaps another one" : " follows a hole")};
    end += x->second.num_bytes;
  }
  if (end != data.end)
    return failure{errc::invalid_input,
                   what + ": " + std::to_string(data.end - end)
                     + " bytes after the last tensor belong to none"};
  return {};
}

result<stored_map> parse_tensors(const std::string& what, const json& header,
                                 const range& data) {
  auto bad = [&](const std::string& name, const std::string& why) {
    return failure{errc::invalid_input, what + ": tensor "
                                          + name.substr(0, max_name_bytes) + " "
                                          + why};
  };
  if (header.size() > max_tensors)
    return failure{errc::invalid_input, what + " has too many tensors"};
  stored_map out;
  for (auto& [name, entry] : header.items()) {
    if (name == "__metadata__") {
      if (!is_metadata(entry))
        return bad(name, "must map strings to strings");
      if (auto key = unknown_key(entry))
        return bad(name, "has " + *key
                           + ", which is not known, and it might change what "
                             "is computed");
      continue;
    }
    if (!is_plain(name))
      return failure{errc::invalid_input,
                     what
                       + ": a tensor's name is not 1 to 512 printable "
                         "characters"};
    stored_tensor x;
    if (auto why = parse_entry(entry, data, x); !why.empty())
      return bad(name, why);
    out.emplace(name, std::move(x));
  }
  if (auto ok = check_contiguous(what, out, data); !ok)
    return ok.why();
  return out;
}

uint64_t load_u64(std::span<const std::byte> bytes) {
  uint64_t x = 0;
  for (int i = 7; i >= 0; --i)
    x = x << 8 | static_cast<uint64_t>(bytes[static_cast<size_t>(i)]);
  return x;
}

/// Bytes of the header that follows the first 8 of a file, which are in `head`
/// if the file has as many.
result<uint64_t> header_bytes_of(const std::string& what,
                                 std::span<const std::byte> head,
                                 uint64_t file_bytes) {
  auto bad = [&](const char* why) {
    return failure{errc::invalid_input, what + " " + why};
  };
  if (file_bytes < length_bytes)
    return bad("is shorter than 8 bytes: no safetensors file");
  auto out = load_u64(head.first(length_bytes));
  if (out > max_header_bytes)
    return bad("has a header of more than 100 MB");
  if (out > file_bytes - length_bytes)
    return bad("ends within its header");
  return out;
}

/// Reads the header `text` of a file of `file_bytes`.
result<stored_map> parse_header(const std::string& what, std::string_view text,
                                uint64_t file_bytes) {
  auto bad = failure{errc::invalid_input,
                     what + " has a header that is no JSON object"};
  if (!text.starts_with('{'))
    return bad;
  auto header = parse_json(what + ": the header", text, {.max_depth = 3});
  if (!header)
    return header.why();
  if (!header->is_object())
    return bad;
  return parse_tensors(what, *header, {length_bytes + text.size(), file_bytes});
}

std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

} // namespace

result<stored_map> read_header(const input_file& file) {
  auto what = file.path().filename().string();
  std::vector<std::byte> bytes(std::min(file.size(), length_bytes));
  if (auto ok = file.read(0, bytes); !ok)
    return ok.why();
  auto size = header_bytes_of(what, bytes, file.size());
  if (!size)
    return size.why();
  bytes.resize(*size);
  if (auto ok = file.read(length_bytes, bytes); !ok)
    return ok.why();
  return parse_header(what, text_of(bytes), file.size());
}

result<tensor_map> parse_safetensors(std::string_view name,
                                     std::span<const std::byte> file) {
  std::string what{name};
  auto size = header_bytes_of(what, file, file.size());
  if (!size)
    return size.why();
  auto found = parse_header(what, text_of(file.subspan(length_bytes, *size)),
                            file.size());
  if (!found)
    return found.why();
  tensor_map out;
  for (auto& [key, x] : *found)
    out.emplace(
      key, tensor_view{x.dtype, x.shape, file.subspan(x.offset, x.num_bytes)});
  return out;
}

result<safetensors_file>
safetensors_file::open(const std::filesystem::path& path) {
  auto file = input_file::open(path);
  if (!file)
    return file.why();
  safetensors_file out;
  out.bytes_.resize(file->size());
  if (auto ok = file->read(0, out.bytes_); !ok)
    return ok.why();
  auto tensors = parse_safetensors(path.filename().string(), out.bytes_);
  if (!tensors)
    return tensors.why();
  out.tensors_ = std::move(*tensors);
  return out;
}

const tensor_view* safetensors_file::find(std::string_view name) const {
  auto at = tensors_.find(name);
  return at == tensors_.end() ? nullptr : &at->second;
}

// -- writing ------------------------------------------------------------------

void safetensors_writer::add(std::string name, const tensor_view& x) {
  uint64_t bytes = size_of(x.dtype);
  for (auto dim : x.shape)
    bytes *= dim;
  CHECK(bytes == x.bytes.size());
  entry copy{x.dtype, x.shape, {x.bytes.begin(), x.bytes.end()}};
  CHECK(entries_.emplace(std::move(name), std::move(copy)).second);
}

void safetensors_writer::add(std::string name, std::vector<uint64_t> shape,
                             std::span<const float> values) {
  tensor_view view{tensor_type::f32, std::move(shape), std::as_bytes(values)};
  add(std::move(name), view);
}

void safetensors_writer::add(std::string name, std::vector<uint64_t> shape,
                             std::span<const int32_t> values) {
  tensor_view view{tensor_type::i32, std::move(shape), std::as_bytes(values)};
  add(std::move(name), view);
}

result<void>
safetensors_writer::write(const std::filesystem::path& path) const {
  auto header = json::object();
  uint64_t end = 0;
  for (auto& [name, x] : entries_) {
    header[name] = {{"dtype", std::string{to_string(x.dtype)}},
                    {"shape", x.shape},
                    {"data_offsets", {end, end + x.bytes.size()}}};
    end += x.bytes.size();
  }
  auto text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  output_file out{path};
  std::string length;
  for (int i = 0; i < 8; ++i)
    length += static_cast<char>(uint64_t{text.size()} >> (8 * i));
  out.write(length);
  out.write(text);
  for (auto& [name, x] : entries_)
    out.write(x.bytes);
  return out.close();
}

} // namespace troupe
