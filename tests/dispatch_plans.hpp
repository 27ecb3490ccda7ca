#pragma once

#include "kernels/check.hpp"
#include "runtime/dispatch/dispatch_planner.hpp"

#include <numeric>

namespace troupe {

/// A plan in memory of its own, of rows at positions 0, 1, 2...
inline dispatch_plan
plan_dispatch(const placement& map, uint32_t moe_layer,
              std::span<const int32_t> experts, uint32_t top_k,
              uint32_t max_rows = UINT32_MAX, rank_id rank = 0) {
  std::vector<uint32_t> positions(experts.size() / top_k);
  std::iota(positions.begin(), positions.end(), 0);
  dispatch_plan out;
  dispatch_planner planner{map, top_k, rank, max_rows};
  CHECK(planner.plan(moe_layer, experts, positions, out));
  return out;
}

} // namespace troupe
