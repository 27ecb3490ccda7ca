#pragma once

/// The caches of a node's ranks, as its keeper sees them: blocks are copied out
/// of them and into them, and their schedulers are told. A part of the keeper.

#include "actors/cast.hpp"
#include "runtime/cluster/node_parts.hpp"

#include <map>

namespace troupe {

class rank_caches {
public:
  rank_caches(const keeper& to, const node_context& context,
              std::shared_ptr<node_parts> parts);

  /// Blocks of a rank that may wait there on their way to the disk: an eighth.
  uint32_t most_waiting(rank_id id) const;

  /// The keeper hears `then` once the block stands in its bytes, or does not.
  void copy_out(block_copied then) const;

  void copy_in(const land_block& msg) const;

  /// Nobody reads that block any more; its scheduler hears so from tell_all().
  void let_go(rank_id id, uint32_t block) {
    let_go_[id].blocks.push_back(block);
  }

  void tell_all();

  template <class Message>
  void tell_rank(rank_id id, const Message& message) const {
    auto list = context_.here->read();
    if (auto i = list->schedulers.find(id); i != list->schedulers.end())
      tell(i->second, message);
  }

private:
  rank_parts& rank(rank_id id) const;

  weak_handle<keeper> to_;
  const node_context context_;
  const std::shared_ptr<node_parts> parts_;
  std::map<rank_id, blocks_let_go> let_go_;
};

} // namespace troupe
