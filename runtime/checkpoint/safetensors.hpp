#pragma once

/// Files of named tensors in the safetensors format: 8 bytes of length, a JSON
/// header, then the tensors' bytes without holes or overlap. Checked whole when
/// opened, so that nobody behind it meets a size that lies.
/// [huggingface/safetensors, tensor.rs]

#include "runtime/checkpoint/mapped_file.hpp"
#include "runtime/checkpoint/tensor_view.hpp"

#include <cstddef>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace troupe {

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
