#pragma once

/// Who decides where experts live. An embedder may bring a policy of its own;
/// whatever it says is checked before anybody acts on it (plan_check.hpp).

#include "runtime/balance/slot_search.hpp"

#include <optional>
#include <span>
#include <vector>

namespace troupe::balance {

/// What a policy knows of a layer.
struct layer_state {
  layout_shape shape;
  std::vector<double> loads; ///< [experts] rows; not negative.
  /// The slots as they are; nothing: all are still empty.
  std::optional<layer_layout> present;
};

/// What becomes of a layer.
struct layer_plan {
  /// From the present layout to the new one, in this order; none if there was
  /// no layout. After each, every expert is somewhere, and with the best shares
  /// (slot_flow::solve) no worker is fuller than the fullest was before.
  std::vector<layout_step> steps;
  layer_layout layout; ///< After all of them.

  friend bool operator==(const layer_plan&, const layer_plan&) = default;
};

class expert_policy {
public:
  virtual ~expert_policy() = default;

  /// Called for one layer after the other. It may say that nothing changes:
  /// no steps, and the present layout with whatever shares.
  virtual layer_plan plan(const layer_state& x) = 0;
};

} // namespace troupe::balance
