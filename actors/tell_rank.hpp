#pragma once

/// From rank to rank, wherever they are.

#include "actors/cast.hpp"
#include "runtime/transfer/transfer.hpp"

namespace troupe {

/// Says it to the scheduler of a rank of this node or of another one; to nobody
/// if its node is not there.
template <class Message>
void tell_rank(const node_context& context, const topology& cluster,
               rank_id rank, Message message) {
  auto list = context.here->read();
  if (auto i = list->schedulers.find(rank); i != list->schedulers.end())
    return tell(scheduler{i->second}, std::move(message));
  auto i = list->peers.find(cluster.node_of_rank(rank));
  if (i != list->peers.end())
    tell(scheduler{i->second}, std::move(message));
}

/// The process that is a node at present, as frames name it; 0: none.
inline uint64_t process_of(const node_context& context, node_id node) {
  if (node == context.node)
    return context.incarnation;
  auto list = context.here->read();
  auto i = list->processes.find(node);
  return i == list->processes.end() ? 0 : i->second;
}

/// Of a hand-over: blocks that may be on their way at once, and how long one
/// side waits for a word of the other. Blocks that a step fills stand where
/// they are to be on the other side, and what of them waits to leave is bounded
/// by the buffers for that: their limit is for steps beyond any good.
inline transfer_limits hand_over_limits() {
  transfer_limits out;
  out.window = 4;
  out.early_bytes = uint64_t{1} << 30;
  return out;
}

} // namespace troupe
