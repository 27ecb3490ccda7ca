#pragma once

/// Where the experts of a node come to before it leaves.

#include "runtime/dispatch/placement_change.hpp"

#include <set>

namespace troupe {

struct leave_plan {
  placement_lists next;   ///< Of the epoch behind, without the node's replicas.
  uint32_t num_moved = 0; ///< Replicas that others have to load.
};

/// What each expert of `node` needs so that it has a replica elsewhere, and
/// then, as far as there is room, what brings it to as many as in `goal`: see
/// plan_repair. Nothing is placed on `closed` nodes, of which `node` may be
/// one. Errors: overloaded while any expert is waiting, refused if there is no
/// room.
result<leave_plan> plan_leave(const placement& now, const placement& goal,
                              std::set<node_id> closed, node_id node);

} // namespace troupe
