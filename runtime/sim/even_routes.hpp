#pragma once

/// Which experts rows choose where nothing is computed and all are alike.

#include "runtime/dispatch/placement.hpp"
#include "runtime/sim/random_stream.hpp"

namespace troupe {

/// [rows, top_k] experts at random, of each row distinct; as many rows for
/// each expert as it goes. top_k divides num_experts.
std::vector<int32_t> draw_experts(uint32_t rows, uint32_t top_k,
                                  uint32_t num_experts, random_stream& chance);

/// Groups of so many workers to which a row goes, in the mean of `choices`.
double reach_of_row(const std::vector<std::vector<int32_t>>& choices,
                    uint32_t top_k, const placement& map,
                    uint32_t workers_of_group);

} // namespace troupe
