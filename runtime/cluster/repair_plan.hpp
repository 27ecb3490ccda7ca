#pragma once

/// Where experts come to when the workers that had them are lost.

#include "runtime/dispatch/placement_change.hpp"

#include <optional>
#include <set>

namespace troupe {

struct repair_plan {
  placement_lists next;        ///< Of the epoch behind.
  bool leaves_waiting = false; ///< There is no room for all who wait.
};

/// What would bring back to each expert as many replicas as it has in `goal`:
/// in empty slots of workers whose node is not lost, where most of the layer's
/// are empty first, never where the expert is already. As long as any expert of
/// `now` is waiting, these alone, and one replica of each. Nothing if there is
/// nothing to do, or no room for it.
std::optional<repair_plan> plan_repair(const placement& now,
                                       const placement& goal,
                                       const std::set<node_id>& lost);

/// How those of `nodes`, which are back, serve again: their workers hold what
/// `first` says and nothing of `now`. Of that each expert gets what brings it
/// to as many replicas as it has in `goal`, and to one at least; all else
/// leaves. Each of these workers is in `arriving`, with nothing to load.
placement_change plan_return(const placement& now, const placement& first,
                             const placement& goal,
                             const std::set<node_id>& nodes);

/// Whether all who wait in `now` can be brought back.
bool can_repair(const placement& now, const std::set<node_id>& lost);

} // namespace troupe
