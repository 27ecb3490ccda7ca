#pragma once

/// A checkpoint's generation_config.json: how it wants to be sampled.

#include "runtime/error.hpp"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

namespace troupe {

/// What holds for requests that do not say otherwise.
struct generation_defaults {
  std::optional<int32_t> bos_token_id;
  std::vector<int32_t> eos_token_ids; ///< Empty: not said.
  bool do_sample = false;             ///< False: what follows has no meaning.
  float temperature = 1;              ///< [0, 100]
  float top_p = 1;                    ///< (0, 1]
  uint32_t top_k = 0;                 ///< 0: all.
  float min_p = 0;                    ///< [0, 1]
  float repetition_penalty = 1;       ///< [0.01, 100]
  float presence_penalty = 0;         ///< [-2, 2]
  float frequency_penalty = 0;        ///< [-2, 2]
};

/// Reads the file of a model directory; without one, what stands above. Error:
/// invalid_input that names the field, io.
result<generation_defaults>
read_generation_config(const std::filesystem::path& model_dir,
                       uint32_t vocab_size);

/// The same from the text of the file, which is not trusted.
result<generation_defaults> parse_generation_config(std::string_view text,
                                                    uint32_t vocab_size);

} // namespace troupe
