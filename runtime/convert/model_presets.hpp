#pragma once

/// Shapes of DeepSeek-V3's kind that are good to measure with.

#include "runtime/error.hpp"

#include <array>
#include <string>
#include <string_view>

namespace troupe {

/// 20.6 million parameters; 649 million, 131 active; 3.1 billion, 550 million
/// active. The latter two with V3's heads and YaRN.
inline constexpr std::array<std::string_view, 3> preset_names
  = {"micro", "small", "medium"};

/// Returns the config.json of a preset, with FP8 weights. Error: invalid_input
/// that tells the names.
result<std::string> preset_config(std::string_view name);

} // namespace troupe
