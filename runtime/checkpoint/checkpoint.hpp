#pragma once

/// The tensors of a model directory in the published layout: one
/// model.safetensors, or shards with model.safetensors.index.json. Only headers
/// are read when it is opened; whoever loads reads the tensors that it wants.

#include "runtime/checkpoint/config.hpp"
#include "runtime/checkpoint/safetensors.hpp"

#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace troupe {

/// Beside the shards: which tensor is in which.
inline constexpr auto index_name = "model.safetensors.index.json";

/// What a checkpoint may have.
inline constexpr size_t max_shards = 10'000;

class checkpoint {
public:
  /// Opens all files of `model_dir` and checks them against each other: index
  /// and headers name the same tensors in the same files, none twice. Errors:
  /// not_found, io, invalid_input. `config` is what the directory's config.json
  /// said, if somebody has read it before.
  static result<checkpoint>
  open(const std::filesystem::path& model_dir,
       std::shared_ptr<const model_config> config = nullptr);

  /// Null if there is no such tensor. Lives as long as the checkpoint.
  const stored_tensor* find(std::string_view name) const;

  /// Fills `out` with the bytes of `x` from `first` on, which `seen` hears of
  /// as they come. Error: io, if they cannot be read or the file changed since
  /// it was opened.
  result<void> read(const stored_tensor& x, uint64_t first,
                    std::span<std::byte> out,
                    const bytes_seen& seen = {}) const;

  /// Reads a whole tensor. Error: as above.
  result<std::vector<std::byte>> read(const stored_tensor& x) const;

  /// Reads a whole tensor as FP32. Errors: as above; invalid_input for a type
  /// that is not F32, BF16 or F8_E4M3.
  result<std::vector<float>> read_floats(std::string_view name,
                                         const stored_tensor& x) const;

  /// All names, sorted.
  std::vector<std::string> names() const;

  const std::filesystem::path& directory() const {
    return directory_;
  }

  /// In the order of stored_tensor::file.
  const std::vector<input_file>& files() const {
    return files_;
  }

  /// What config.json said, or why it cannot be used. Read once.
  const result<model_config>& config() const {
    return config_;
  }

  /// Error: io, if a file changed since it was opened.
  result<void> check_unchanged() const;

  /// Says whether `out` may be written: not if it is, by whatever name, one of
  /// the files that the model is read from. Error: invalid_input.
  result<void> check_no_source(const std::filesystem::path& out) const;

private:
  checkpoint() = default;
  result<void> add(input_file file, stored_map tensors);

  std::filesystem::path directory_;
  result<model_config> config_ = failure{};
  std::vector<input_file> files_;
  stored_map tensors_;
};

} // namespace troupe
