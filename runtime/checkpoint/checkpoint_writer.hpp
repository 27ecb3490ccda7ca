#pragma once

/// Writes a checkpoint in the published layout without ever holding it: what
/// tensors there are is said first, so headers can be written before bytes.

#include "runtime/checkpoint/output_file.hpp"
#include "runtime/checkpoint/safetensors.hpp"

#include <optional>
#include <vector>

namespace troupe {

/// What a header says of a tensor, less its place.
struct tensor_entry {
  std::string name;
  tensor_type dtype = tensor_type::f32;
  std::vector<uint64_t> shape; ///< No dimension is 0.

  uint64_t num_bytes() const;
};

class checkpoint_writer {
public:
  /// `tensors` come in this order. Files hold at most `shard_bytes` of them,
  /// or one that is larger; 0: one file, model.safetensors. Error:
  /// invalid_input, if there were too many files for a reader.
  static result<checkpoint_writer> create(std::filesystem::path model_dir,
                                          std::vector<tensor_entry> tensors,
                                          uint64_t shard_bytes);

  /// The next bytes of the tensor that is not complete; none of another's.
  /// Error: io.
  result<void> append(std::span<const std::byte> bytes);

  /// Closes the last file and writes the index, if there are several. All
  /// tensors are complete by now. Error: io.
  result<void> finish();

  /// Bytes of all tensors.
  uint64_t total_bytes() const {
    return total_bytes_;
  }

  /// The files, finished or not, by name. The index is one of them.
  std::vector<std::string> file_names() const;

private:
  checkpoint_writer() = default;

  std::string shard_name(size_t shard) const;
  void open(size_t shard);
  result<void> write_index() const;

  std::filesystem::path model_dir_;
  std::vector<tensor_entry> tensors_;
  std::vector<size_t> shards_; ///< First tensor of each, and the end.
  uint64_t total_bytes_ = 0;
  size_t tensor_ = 0;         ///< The one that is not complete.
  uint64_t tensor_bytes_ = 0; ///< What there is of it.
  size_t num_opened_ = 0;
  std::optional<output_file> file_;
};

} // namespace troupe
