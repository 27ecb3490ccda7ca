#pragma once

/// What a checkpoint's own files say about how it wants to be asked.

#include "runtime/error.hpp"
#include "runtime/service.hpp"

#include <filesystem>

namespace troupe {

struct model_defaults {
  sampling_params sampling; ///< generation_config.json, if it samples.
  bool add_bos = false;     ///< tokenizer_config.json: before plain text.
};

/// Files and fields that are not there leave the values above. Error:
/// invalid_input for what is there and makes no sense.
result<model_defaults>
read_model_defaults(const std::filesystem::path& model_dir);

} // namespace troupe
