#pragma once

/// Shapes of DeepSeek-V3's kind that are good to measure with.

#include "runtime/error.hpp"

#include <array>
#include <string>
#include <string_view>

namespace troupe {

/// 20.6 million parameters; 649 million, 131 active; 3.1 billion, 550 million
/// active, these two with V3's heads and YaRN; and V3's structure (61 layers of
/// which 3 are dense, 8 of 256 experts in 8 groups, MTP, YaRN), 776 million
/// parameters narrow: what a placement of V3's experts is tried with.
inline constexpr std::array<std::string_view, 4> preset_names
  = {"micro", "small", "medium", "v3-mini"};

/// Returns the config.json of a preset, with FP8 weights. Error: invalid_input
/// that tells the names.
result<std::string> preset_config(std::string_view name);

} // namespace troupe
