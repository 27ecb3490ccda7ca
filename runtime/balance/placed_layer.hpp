#pragma once

/// Between a placement, which has addresses, empty slots and nodes that come
/// and go, and what policies plan with: slots that come out even.

#include "runtime/balance/expert_policy.hpp"
#include "runtime/dispatch/placement.hpp"

#include <optional>
#include <set>

namespace troupe::balance {

/// A layer of a placement as a policy sees it. Workers that take part have the
/// same number of slots here; where some hold fewer experts than others,
/// experts that nobody asks for stand for what they lack: those from
/// `num_experts` of the placement on. Such a one is worth nothing to anybody,
/// and has one slot like another.
struct placed_layer {
  uint32_t moe_layer = 0;
  layer_state state;                ///< `present` is there.
  std::vector<worker_id> workers;   ///< [workers of the shape] ascending.
  std::vector<uint32_t> free_slots; ///< Likewise: slots that hold nobody.
  uint32_t num_real = 0;            ///< Experts of the model.
};

/// `loads`: [experts]. `absent`: nodes whose workers take no part. Nothing, if
/// an expert has no worker, or there are no two workers.
std::optional<placed_layer> see_layer(const placement& now, uint32_t moe_layer,
                                      std::span<const double> loads,
                                      const std::set<node_id>& absent);

/// Rows that the fullest worker gets, and all of them on average.
struct worker_fill {
  double most = 0;
  double mean = 0;

  /// Mean over largest; 1 without any.
  double balance() const {
    return most > 0 ? mean / most : 1;
  }
};

worker_fill fill_of(const layout_shape& shape, const layer_layout& layout,
                    std::span<const double> loads);

/// Shares as whole weights of replicas: those of an expert add up to
/// `weight_sum` at most, none is 0, and even ones are all 1. `shares` add
/// up to 1.
constexpr uint32_t weight_sum = 16;
std::vector<uint16_t> weights_of(std::span<const double> shares);

/// `layout` with the shares that weights can say.
layer_layout weighted(const layout_shape& shape, layer_layout layout);

} // namespace troupe::balance
