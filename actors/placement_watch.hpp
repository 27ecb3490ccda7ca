#pragma once

/// Looks at what the nodes of a virtual company know of views and placements,
/// and what they hold by these.

#include "actors/virtual_company.hpp"
#include "runtime/sim/run_checks.hpp"
#include "runtime/sim/sometimes_states.hpp"

#include <map>

namespace troupe {

/// What requests of a company cannot do without, by what its first node has
/// placed where. `company` outlives it.
run_checks::needs needs_of(virtual_company& company);

class placement_watch {
public:
  /// All outlive this.
  placement_watch(virtual_company& company, run_checks& checks,
                  sometimes_states& states);

  /// After something has happened there.
  void look_at(node_id node);

  /// Requests that were moved to ranks with less to do, in one life of the
  /// first node.
  uint64_t num_balanced() const {
    return num_balanced_;
  }

private:
  void look_at_view(node_id by, const view& x);
  void look_for_balance(const gateway_status& front);
  void look_for_experts(const cast_list& front, const placement_lists& placed);

  virtual_company& company_;
  run_checks& checks_;
  sometimes_states& states_;
  uint64_t num_balanced_ = 0;
  /// By node and unit what was looked at last.
  std::map<node_id, std::map<unit_id, std::shared_ptr<const placement_lists>>>
    seen_;
};

} // namespace troupe
