#pragma once

/// Whose process has ended because it was to: nobody begins it anew.

#include "runtime/cluster/cluster_status.hpp"

#include <algorithm>

namespace troupe {

/// Whether the node of that name leaves in peace, or has. A process cannot say
/// so itself: of one that a signal has ended the cluster still wants something.
inline bool was_told_to_end(const cluster_status& now,
                            const std::string& name) {
  if (now.drain && now.drain->node == name
      && now.drain->state == drain_state::ending)
    return true;
  return std::ranges::any_of(
    now.nodes, [&](auto& x) { return x.name == name && x.state == "left"; });
}

} // namespace troupe
