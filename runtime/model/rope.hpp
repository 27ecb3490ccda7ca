#pragma once

/// Rotary positions, with YaRN where the checkpoint asks for it. [RoFormer;
/// YaRN, section 3; modeling_deepseek.py]

#include "runtime/checkpoint/config.hpp"

#include <cstdint>
#include <vector>

namespace troupe {

/// Factor of attention scores, YaRN's included.
float softmax_scale(const model_config& c);

/// cos, sin of each pair for positions [0, num_positions), YaRN included:
/// [num_positions, qk_rope_head_dim] interleaved, computed in double.
std::vector<float> rope_table(const model_config& c, uint32_t num_positions);

} // namespace troupe
