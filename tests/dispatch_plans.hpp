#pragma once

#include "runtime/dispatch/dispatch_planner.hpp"

namespace troupe {

/// A plan in memory of its own.
inline dispatch_plan plan_dispatch(const placement& map, uint32_t moe_layer,
                                   std::span<const int32_t> experts,
                                   uint32_t top_k,
                                   uint32_t max_rows = UINT32_MAX) {
  dispatch_plan out;
  dispatch_planner{map, top_k, max_rows}.plan(moe_layer, experts, out);
  return out;
}

} // namespace troupe
