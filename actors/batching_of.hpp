#pragma once

/// What the batcher of a rank has to know, from what its node is made of.

#include "runtime/batching/batcher.hpp"
#include "runtime/cluster/node_parts.hpp"

namespace troupe {

batcher_options batching_of(const node_parts& parts);

} // namespace troupe
