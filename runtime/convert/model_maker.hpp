#pragma once

/// `troupe model make`: a model directory of any shape, filled with random
/// weights, to measure and to test with where no trained model is at hand.

#include "runtime/model/weights.hpp"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace troupe {

struct make_options {
  std::string config_json = {}; ///< What a checkpoint's config.json may say.
  uint64_t seed = 20261122;
  std::optional<bool> fp8
    = {};                   ///< Linear weights; nothing: as config_json says.
  uint64_t shard_bytes = 0; ///< At most so many of tensors in a file; 0: one.
};

struct made_model {
  uint64_t parameters = 0; ///< Scales do not count.
  uint64_t bytes = 0;      ///< Of tensors.
};

/// Writes config.json, generation_config.json, tokenizer.json,
/// tokenizer_config.json and the weights into `model_dir`, which is created or
/// empty. The configuration is kept but for the ids of the tokens (those of
/// `make_tokenizer`) and the type of the weights. Weights are made and written
/// a few MiB at a time. What was written before a failure is removed. Errors:
/// invalid_input, io.
result<made_model> make_model(const std::filesystem::path& model_dir,
                              const make_options& options,
                              const load_progress& progress = {});

} // namespace troupe
