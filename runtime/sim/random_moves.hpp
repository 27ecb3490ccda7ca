#pragma once

/// Placements that a seed asks for.

#include "runtime/dispatch/placement.hpp"
#include "runtime/sim/random_stream.hpp"

namespace troupe {

/// The placement behind `now` in which some experts, as chance will have it,
/// have come to empty slots of workers on `to`, in the place of another replica
/// or beside all; some replicas may have got another share. The same as `now`,
/// where there is no room.
placement_lists draw_moves(const placement& now, node_id to,
                           random_stream& chance);

} // namespace troupe
