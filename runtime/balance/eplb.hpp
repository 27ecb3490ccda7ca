#pragma once

/// The balancer that DeepSeek has published, written anew from its description
/// as the yardstick for our own: it knows neither the present layout nor
/// shares that are not even. [DeepSeek-AI, EPLB]

#include "runtime/balance/expert_layout.hpp"

namespace troupe::balance {

/// If the groups can be shared out evenly among the nodes: whole groups go to
/// nodes so that these have alike, and all else happens inside of each node.
/// Otherwise as if there were one node and one group. Slots beyond one for
/// each expert go one at a time to the expert with the largest load per
/// replica; packing is heaviest first onto the least loaded that has room;
/// ties go to the lower index. It may put an expert twice on a worker.
/// `loads`: [experts].
layer_layout balance_eplb(const layout_shape& shape,
                          std::span<const double> loads);

} // namespace troupe::balance
