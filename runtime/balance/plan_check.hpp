#pragma once

/// Whether a plan may be acted on, whoever made it.

#include "runtime/balance/expert_policy.hpp"

namespace troupe::balance {

/// The layout has the right size, every expert somewhere and on no worker
/// twice, and shares that are numbers from 0 to 1 and add up to 1 for each
/// expert. The steps lead from the present layout to the new one, each changes
/// what it says, and after each every expert has enough replicas and no worker
/// is fuller than the fullest was before. If `x` has no present layout there
/// are no steps. Error: invalid_input with what is wrong and where.
result<void> check_plan(const layer_state& x, const layer_plan& plan);

/// A policy whose plans are checked; where one is refused, another acts.
class checked_policy final : public expert_policy {
public:
  /// Both live longer than this.
  checked_policy(expert_policy& first, expert_policy& otherwise)
    : first_(first), otherwise_(otherwise) {
  }

  layer_plan plan(const layer_state& x) override;

  /// Why the last plan of the first policy was refused; nothing if it was not.
  const std::optional<failure>& refusal() const {
    return refusal_;
  }

private:
  expert_policy& first_;
  expert_policy& otherwise_;
  std::optional<failure> refusal_;
};

} // namespace troupe::balance
