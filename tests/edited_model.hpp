#pragma once

/// A copy of a model directory with changes: what a damaged or unusual
/// checkpoint looks like.

#include "runtime/checkpoint/safetensors.hpp"
#include "tests/model_files.hpp"

#include <nlohmann/json.hpp>

namespace troupe {

class edited_model {
public:
  /// Takes over a model of one file.
  explicit edited_model(const std::filesystem::path& from)
    : config(nlohmann::json::parse(read_text(from / "config.json"))),
      file_(std::move(*safetensors_file::open(from / "model.safetensors"))),
      tensors(file_.tensors()) {
  }

  /// Writes the model into `dir`.
  std::filesystem::path write(const std::filesystem::path& dir) const {
    write_text(dir / "config.json", config.dump());
    safetensors_writer out;
    for (auto& [name, view] : tensors)
      out.add(name, view);
    EXPECT_TRUE(out.write(dir / "model.safetensors"));
    return dir;
  }

  /// Replaces a tensor; `bytes` live in this.
  void set(const std::string& name, tensor_type type,
           std::vector<uint64_t> shape, std::vector<std::byte> bytes) {
    kept_.push_back(std::move(bytes));
    tensors[name] = {type, std::move(shape), kept_.back()};
  }

  void set_bf16(const std::string& name, const std::vector<float>& values) {
    std::vector<std::byte> bytes(values.size() * 2);
    for (size_t i = 0; i < values.size(); ++i)
      std::memcpy(bytes.data() + 2 * i,
                  reinterpret_cast<const std::byte*>(&values[i]) + 2, 2);
    set(name, tensor_type::bf16, tensors.at(name).shape, std::move(bytes));
  }

  nlohmann::json config;

private:
  safetensors_file file_;
  std::vector<std::vector<std::byte>> kept_;

public:
  tensor_map tensors;
};

} // namespace troupe
