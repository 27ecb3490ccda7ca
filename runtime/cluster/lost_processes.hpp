#pragma once

/// Which losses somebody has heard of. A plain value.

#include "runtime/transport/frame.hpp"

#include <map>

namespace troupe {

/// Nodes that are lost at present, or have left, and which process of each has
/// served last.
using lost_processes = std::map<node_id, uint64_t>;

} // namespace troupe
