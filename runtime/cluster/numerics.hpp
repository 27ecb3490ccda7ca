#pragma once

/// What decides which tokens a node computes: the *fingerprint*, in parts, so
/// that whoever is refused can be told for what.

#include "runtime/checkpoint/config.hpp"
#include "runtime/digest.hpp"

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace troupe {

/// What a node says of itself to the controller, in one or several parts.
struct numerics {
  /// Lines "name value": whatever decides but weights and target. In the first
  /// part alone.
  std::string settings;
  /// What its device runs; empty if it computes nothing. Likewise.
  std::string target;

  struct tensor {
    uint64_t name = 0; ///< Its hash; see name_hash.
    digest bytes;

    friend bool operator==(const tensor&, const tensor&) = default;
  };

  std::vector<tensor> tensors; ///< That it holds, by name.
  bool is_complete = false;    ///< The last part: its weights are in place.

  friend bool operator==(const numerics&, const numerics&) = default;
};

/// Tensors in one part: what fits into a control message with ease.
constexpr size_t max_tensors_in_part = 1 << 16;

uint64_t name_hash(std::string_view tensor);

/// Says in lines what a model directory decides beside its weights: the
/// configuration as it was understood, the tokenizer's bytes, the version of
/// the operations. Error: io.
result<std::string> settings_of(const std::filesystem::path& model_dir,
                                const model_config& config,
                                precision activations);

/// What is to be said of `held` once it is loaded. The last part is complete;
/// there is at least one.
std::vector<numerics> parts_of(const digest_table& held);

/// Of what decides before there is any model: the version of the operations.
uint64_t operations_fingerprint();

} // namespace troupe
