#pragma once

/// Files of named tensors in the safetensors format: 8 bytes of length, a JSON
/// header, then the tensors' bytes without holes or overlap. Checked whole when
/// opened, so that nobody behind it meets a size that lies.
/// [huggingface/safetensors, tensor.rs]

#include "runtime/checkpoint/input_file.hpp"
#include "runtime/checkpoint/tensor_view.hpp"

#include <cstddef>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace troupe {

/// A tensor of a file, as its header tells of it.
struct stored_tensor {
  tensor_type dtype = tensor_type::f32;
  std::vector<uint64_t> shape; ///< Empty: one element.
  uint64_t offset = 0;         ///< In the file.
  uint64_t num_bytes = 0;
  uint32_t file = 0; ///< Which one, of a checkpoint's.

  uint64_t num_elements() const {
    return num_bytes / size_of(dtype);
  }
};

using stored_map = std::map<std::string, stored_tensor, std::less<>>;

/// Reads the header of `file` and nothing else. Errors: io; invalid_input, one
/// sentence that names file and tensor.
result<stored_map> read_header(const input_file& file);

/// Tensors in memory, by name.
using tensor_map = std::map<std::string, tensor_view, std::less<>>;

/// Returns views into `file`, which is a whole one. Error: invalid_input, one
/// sentence that names `what` and the tensor.
result<tensor_map> parse_safetensors(std::string_view what,
                                     std::span<const std::byte> file);

/// A file of tensors that is small enough to be read as a whole; views live as
/// long as it.
class safetensors_file {
public:
  /// Errors: not_found, io, invalid_input.
  static result<safetensors_file> open(const std::filesystem::path& path);

  /// Null if there is no such tensor.
  const tensor_view* find(std::string_view name) const;

  const tensor_map& tensors() const {
    return tensors_;
  }

private:
  std::vector<std::byte> bytes_;
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

  /// Writes all of them, replacing the file as a whole. Error: io.
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
