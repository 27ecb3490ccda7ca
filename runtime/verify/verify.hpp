#pragma once

/// `troupe model verify`: the plain path against a golden file.

#include "kernels/device.hpp"
#include "runtime/checkpoint/checkpoint.hpp"
#include "runtime/checkpoint/config.hpp"
#include "runtime/model/batch.hpp"
#include "runtime/model/weights.hpp"

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace troupe {

struct verify_options {
  /// Empty: fp8 if the model's weights are, else bf16.
  std::optional<precision> activations;
  std::filesystem::path out; ///< Where to write what was computed, if at all.
  uint32_t chunk = 512;      ///< Tokens per pass.
  /// As in plain_options.
  std::optional<attention_form> prompt_form;
};

struct verify_report {
  precision activations = precision::fp8;
  std::string numerics;            ///< Of the bounds that were applied.
  std::vector<std::string> lines;  ///< Errors beside their bounds.
  std::vector<std::string> faults; ///< Those out of bounds; empty: all holds.
};

/// Computes for every prompt of the golden file `golden` what it holds and
/// compares. Bounds go by the file's name (golden..., golden-fp8act...) and
/// the precision: fp32 has its own, bf16 too; fp8 keeps the sharper ones of
/// bf16-combine where it can and says which. Errors: what reading and running
/// may say.
result<verify_report>
verify_model(kernels::device& dev, const checkpoint& source,
             const std::filesystem::path& golden, const verify_options& options,
             const load_progress& progress = {});

} // namespace troupe
