#pragma once

/// Slots filled from nothing, whatever there are to a worker.

#include "runtime/balance/expert_layout.hpp"

namespace troupe::balance {

/// The most replicas of an expert that a node has if all nodes have alike.
inline uint32_t most_of_node(const layout_shape& shape, uint32_t count) {
  return (count + shape.num_nodes - 1) / shape.num_nodes;
}

/// The experts of each slot. Those beyond one for each go one at a time to the
/// largest load per replica, unless every worker has that expert. Replicas are
/// placed heaviest first, each on the emptiest worker
/// that has room, does not have the expert and whose node has not more of it
/// than comes to it; the last condition yields where it cannot be met.
std::vector<uint32_t> pack_slots(const layout_shape& shape,
                                 std::span<const double> loads);

/// The same slots, with whole workers exchanged so that replicas of an expert
/// lie on different nodes, as far as that goes.
std::vector<uint32_t> spread_workers(const layout_shape& shape,
                                     std::span<const uint32_t> experts);

} // namespace troupe::balance
