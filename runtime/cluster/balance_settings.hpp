#pragma once

/// What the one who starts a company may choose for the balancer of experts.
/// See runtime/cluster/expert_mover.hpp.

#include "runtime/balance/expert_policy.hpp"
#include "runtime/balance/load_table.hpp"
#include "runtime/error.hpp"

#include <chrono>
#include <memory>
#include <optional>

namespace troupe {

struct balance_settings {
  std::chrono::milliseconds interval{10'000}; ///< Between two plans; above 0.
  /// Rows that came so many intervals ago count half.
  double half_life = 3;
  std::chrono::milliseconds payback{60'000}; ///< A copy has to pay within this.
  /// What a policy from outside may take for a plan.
  std::chrono::milliseconds budget{100};
  uint32_t most_copies = 256; ///< Of a change; at least 2.
  /// What the first plan, at the start, goes by; none: there is none then.
  std::optional<balance::load_table> first_loads;
  /// Plans instead of the built-in one, called on one thread at a time, where
  /// its plans are in order and in time. Null: nobody does.
  std::shared_ptr<balance::expert_policy> policy;
};

struct model_config;
struct topology;

/// Whether a company of `cluster` can be balanced like this: there are slots to
/// spare, and loads of all layers and experts, if of any. Error: invalid_input.
result<void> check_balance(const balance_settings& x, const topology& cluster,
                           const model_config& config);

} // namespace troupe
