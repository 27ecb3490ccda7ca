#pragma once

/// How far an engine may be from a golden file.

#include <optional>
#include <string_view>

namespace troupe {

struct error_bounds {
  double max_abs = 0; ///< Of logits.
  double rel_rms = 0; ///< Of logits and hidden states.
};

struct golden_bounds {
  error_bounds clear;
  error_bounds loose;
  double other_experts = 0; ///< Share of choices that may differ.
  double eps = 0;           ///< Margin below which a choice may differ.
  double weights = 0;       ///< Of routing weights, part of the largest.
  double gap = 0;           ///< Greedy gap below which a token may differ.
  double near = 0;          ///< What is near to a boundary between codes.
  double layer_within = 0;  ///< Layer by layer: this error ...
  double layer_share = 0;   ///< ... is kept by this share of positions,
  double layer_rms = 0;     ///< and this one by all together.
};

/// Bounds of a golden set ("golden", "golden-fp8act") for an engine's numerics
/// ("fp32", "bf16-combine", "bf16"). Nothing for unknown names.
std::optional<golden_bounds> find_bounds(std::string_view set,
                                         std::string_view numerics);

} // namespace troupe
