#include "runtime/convert/gguf_writer.hpp"

#include <bit>

namespace troupe {

namespace {

constexpr uint32_t version = 3;
constexpr uint64_t alignment = 32;
constexpr uint64_t q8_0_width = 32;
constexpr uint64_t q8_0_bytes = 34;

/// Types of values, with the format's numbers.
enum value_type : uint32_t {
  type_uint32 = 4,
  type_int32 = 5,
  type_float32 = 6,
  type_bool = 7,
  type_string = 8,
  type_array = 9,
};

template <class T>
void put(std::string& out, T x) {
  for (size_t i = 0; i < sizeof(T); ++i)
    out += static_cast<char>(x >> (8 * i));
}

void put_text(std::string& out, std::string_view x) {
  put(out, uint64_t{x.size()});
  out += x;
}

uint64_t aligned(uint64_t x) {
  return (x + alignment - 1) / alignment * alignment;
}

} // namespace

uint64_t ggml_row_bytes(ggml_type type, uint64_t cols) {
  switch (type) {
    case ggml_type::f32:
      return cols * 4;
    case ggml_type::bf16:
      return cols * 2;
    default:
      CHECK(cols % q8_0_width == 0);
      return cols / q8_0_width * q8_0_bytes;
  }
}

// -- keys ---------------------------------------------------------------------

void gguf_keys::number(std::string_view key, uint32_t value) {
  begin(key, type_uint32);
  put(bytes_, value);
}

void gguf_keys::real(std::string_view key, float value) {
  begin(key, type_float32);
  put(bytes_, std::bit_cast<uint32_t>(value));
}

void gguf_keys::flag(std::string_view key, bool value) {
  begin(key, type_bool);
  put(bytes_, uint8_t{value});
}

void gguf_keys::text(std::string_view key, std::string_view value) {
  begin(key, type_string);
  put_text(bytes_, value);
}

void gguf_keys::texts(std::string_view key,
                      const std::vector<std::string>& values) {
  begin_list(key, type_string, values.size());
  for (auto& x : values)
    put_text(bytes_, x);
}

void gguf_keys::numbers(std::string_view key,
                        const std::vector<int32_t>& values) {
  begin_list(key, type_int32, values.size());
  for (auto x : values)
    put(bytes_, static_cast<uint32_t>(x));
}

void gguf_keys::begin(std::string_view key, uint32_t type) {
  put_text(bytes_, key);
  put(bytes_, type);
  ++count_;
}

void gguf_keys::begin_list(std::string_view key, uint32_t type, size_t count) {
  begin(key, type_array);
  put(bytes_, type);
  put(bytes_, uint64_t{count});
}

// -- tensors ------------------------------------------------------------------

uint64_t gguf_tensor::num_bytes() const {
  auto out = ggml_row_bytes(type, ne.front());
  for (size_t i = 1; i < ne.size(); ++i)
    out *= ne[i];
  return out;
}

gguf_writer::gguf_writer(const std::filesystem::path& path,
                         const gguf_keys& keys,
                         std::vector<gguf_tensor> tensors)
  : file_(path), tensors_(std::move(tensors)) {
  std::string head = "GGUF";
  put(head, version);
  put(head, uint64_t{tensors_.size()});
  put(head, keys.count());
  head += keys.bytes();
  uint64_t end = 0;
  for (auto& x : tensors_) {
    put_text(head, x.name);
    put(head, static_cast<uint32_t>(x.ne.size()));
    for (auto dim : x.ne)
      put(head, dim);
    put(head, static_cast<uint32_t>(x.type));
    put(head, end);
    end += aligned(x.num_bytes());
    total_bytes_ += x.num_bytes();
  }
  file_.write(head);
  file_.pad(alignment);
}

result<void> gguf_writer::append(std::span<const std::byte> bytes) {
  CHECK(tensor_ < tensors_.size());
  auto size = tensors_[tensor_].num_bytes();
  CHECK(tensor_bytes_ + bytes.size() <= size);
  file_.write(bytes);
  tensor_bytes_ += bytes.size();
  if (tensor_bytes_ == size) {
    file_.pad(alignment);
    tensor_bytes_ = 0;
    ++tensor_;
  }
  return file_.status();
}

result<void> gguf_writer::finish() {
  CHECK(tensor_ == tensors_.size());
  return file_.close();
}

} // namespace troupe
