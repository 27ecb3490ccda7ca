#pragma once

#include "actors/directory.hpp"

namespace troupe {

/// The placement of a unit that a node has heard of last; its parts are there,
/// and have such a unit.
placement newest_placement(const cast_list& list, unit_id unit);

} // namespace troupe
