#pragma once

/// The tensors of a model directory in the published layout: one
/// model.safetensors, or shards with model.safetensors.index.json. Mapped, not
/// read: whoever loads decides what it touches.

#include "runtime/checkpoint/config.hpp"
#include "runtime/checkpoint/safetensors.hpp"

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace troupe {

class checkpoint {
public:
  /// Opens all files of `model_dir` and checks them against each other: index
  /// and headers name the same tensors in the same files, none twice. Errors:
  /// not_found, io, invalid_input. `config` is what the directory's config.json
  /// said, if somebody has read it before.
  static result<checkpoint>
  open(const std::filesystem::path& model_dir,
       std::shared_ptr<const model_config> config = nullptr);

  /// Null if there is no such tensor. Views live as long as the checkpoint.
  const tensor_view* find(std::string_view name) const;

  /// All names, sorted.
  std::vector<std::string> names() const;

  const std::filesystem::path& directory() const {
    return directory_;
  }

  /// What config.json said, or why it cannot be used. Read once.
  const result<model_config>& config() const {
    return config_;
  }

  /// Error: io, if a file changed since it was opened.
  result<void> check_unchanged() const;

  /// Says that `part` of a tensor will be read soon.
  void read_ahead(std::span<const std::byte> part) const;

  /// Lets go of the memory that `part` of a tensor takes; views stay valid,
  /// and what is read again comes from the file again.
  void give_back(std::span<const std::byte> part) const;

private:
  checkpoint() = default;
  const mapped_file& file_of(std::span<const std::byte> part) const;

  std::filesystem::path directory_;
  result<model_config> config_ = failure{};
  std::vector<safetensors_file> files_;
  std::map<std::string, const tensor_view*, std::less<>> tensors_;
};

} // namespace troupe
