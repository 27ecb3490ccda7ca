#pragma once

/// Files of named tensors in the safetensors format: 8 bytes of length, a JSON
/// header, then the tensors' bytes without holes or overlap. Checked whole when
/// opened, so that nobody behind it meets a size that lies.
/// [huggingface/safetensors, tensor.rs]

#include "runtime/error.hpp"

#include <cstddef>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace troupe {

/// Element types that files may hold; the engine computes with few of them.
enum class tensor_type : uint8_t {
  boolean,
  u8,
  i8,
  f8_e4m3,
  f8_e5m2,
  u16,
  i16,
  f16,
  bf16,
  u32,
  i32,
  f32,
  u64,
  i64,
  f64
};

/// Bytes of one element.
uint32_t size_of(tensor_type type);

/// The type as files call it, e.g. "F8_E4M3".
std::string_view to_string(tensor_type type);

/// A tensor in somebody else's memory, which need not be aligned.
struct tensor_view {
  tensor_type dtype = tensor_type::f32;
  std::vector<uint64_t> shape;      ///< Empty: one element.
  std::span<const std::byte> bytes; ///< Row-major.

  uint64_t num_elements() const {
    return bytes.size() / size_of(dtype);
  }
};

/// Returns the shape as people write it, e.g. "[7, 128]".
std::string shape_text(std::span<const uint64_t> shape);

/// Returns F32, BF16 or F8_E4M3 values as FP32. Error: invalid_input for other
/// types.
result<std::vector<float>> to_floats(std::string_view name,
                                     const tensor_view& x);

/// Returns I32 values. Error: invalid_input for other types.
result<std::vector<int32_t>> to_ints(std::string_view name,
                                     const tensor_view& x);

/// A file mapped into memory, read-only. It must not change while it is open:
/// `check_unchanged` tells afterwards whether it did.
class mapped_file {
public:
  static result<std::unique_ptr<mapped_file>>
  open(const std::filesystem::path& path);

  ~mapped_file();
  mapped_file(const mapped_file&) = delete;
  mapped_file& operator=(const mapped_file&) = delete;

  std::span<const std::byte> bytes() const {
    return {static_cast<const std::byte*>(data_), size_};
  }

  /// Error: io, if the file's size or time of change is another.
  result<void> check_unchanged() const;

  /// Returns whether `part` lies in the file.
  bool holds(std::span<const std::byte> part) const;

  /// Says that `part` will be read soon.
  void read_ahead(std::span<const std::byte> part) const;

  /// Lets go of the memory that `part` takes and of some around it. What is
  /// read again comes from the file again.
  void give_back(std::span<const std::byte> part) const;

private:
  mapped_file() = default;

  std::filesystem::path path_;
  void* data_ = nullptr;
  size_t size_ = 0;
  int64_t changed_ns_ = 0;
};

/// What a file's header says, with views into the file.
using tensor_map = std::map<std::string, tensor_view, std::less<>>;

/// Reads the header of `file`. Error: invalid_input, one sentence that names
/// `what` and the tensor.
result<tensor_map> parse_safetensors(std::string_view what,
                                     std::span<const std::byte> file);

/// One file of tensors; views live as long as it.
class safetensors_file {
public:
  static result<safetensors_file> open(const std::filesystem::path& path);

  /// Null if there is no such tensor.
  const tensor_view* find(std::string_view name) const;

  const tensor_map& tensors() const {
    return tensors_;
  }

  result<void> check_unchanged() const {
    return file_->check_unchanged();
  }

  const mapped_file& file() const {
    return *file_;
  }

private:
  std::unique_ptr<mapped_file> file_;
  tensor_map tensors_;
};

/// Tensors to be written, by name.
class safetensors_writer {
public:
  void add(std::string name, std::vector<uint64_t> shape,
           std::span<const float> values);
  void add(std::string name, std::vector<uint64_t> shape,
           std::span<const int32_t> values);
  /// Of any type, as it is.
  void add(std::string name, const tensor_view& x);

  /// Writes all of them, replacing the file. Error: io.
  result<void> write(const std::filesystem::path& path) const;

private:
  struct entry {
    tensor_type dtype;
    std::vector<uint64_t> shape;
    std::vector<std::byte> bytes;
  };

  std::map<std::string, entry> entries_;
};

} // namespace troupe
