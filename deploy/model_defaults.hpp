#pragma once

/// What a checkpoint's own files say about how it wants to be asked.

#include "runtime/checkpoint/config.hpp"
#include "runtime/error.hpp"
#include "runtime/service.hpp"
#include "runtime/text/tokenizer.hpp"

#include <filesystem>

namespace troupe {

struct model_defaults {
  sampling_params sampling; ///< generation_config.json, if it samples.
  /// The token before plain text: tokenizer_config.json or tokenizer.json.
  std::optional<int32_t> first_id;
};

/// Fields that are not there leave the values above. `config` and `tokens` are
/// those of `model_dir`. Error: invalid_input for what is there and makes no
/// sense, io.
result<model_defaults>
read_model_defaults(const std::filesystem::path& model_dir,
                    const model_config& config, const tokenizer& tokens);

/// Has `to` say what `text` says, a JSON object with fields of the same names.
/// Error: invalid_input.
result<void> override_defaults(std::string_view text, sampling_params& to);

} // namespace troupe
