#pragma once

/// What waits for the keeper to have host memory for it: a part of the keeper.

#include "actors/kept_blocks.hpp"

#include <deque>
#include <map>

namespace troupe {

/// Blocks that may be waited for.
constexpr size_t max_waiting = 4096;

/// A block that a rank waits for.
struct wanted_block {
  rank_id rank = 0;
  uint64_t fetch = 0;
  uint32_t index = 0;
  std::shared_ptr<const std::vector<kv_block>> chain;
  std::shared_ptr<const std::atomic<bool>> is_wanted; ///< Still.

  const kv_block& what() const {
    return (*chain)[index];
  }
};

/// Blocks of ranks that are to be copied out of their caches, in order. Each
/// rank has a share of it: what waits cannot be used for anything else.
class keep_queue {
public:
  struct entry {
    rank_id rank = 0;
    known_block of;
  };

  bool empty() const {
    return all_.empty();
  }

  const entry& front() const {
    return all_.front();
  }

  /// Of a queue that is not empty.
  void pop() {
    --counts_[all_.front().rank];
    all_.pop_front();
  }

  /// Whether there is room: `most` of the rank wait at once.
  bool add(rank_id rank, const known_block& x, uint32_t most) {
    auto& count = counts_[rank];
    if (count >= most)
      return false;
    ++count;
    all_.push_back({rank, x});
    return true;
  }

  /// Takes those with that key out.
  std::vector<entry> take(const kv_key& key) {
    std::vector<entry> out;
    std::erase_if(all_, [&](auto& x) {
      if (x.of.what.key != key)
        return false;
      --counts_[x.rank];
      out.push_back(x);
      return true;
    });
    return out;
  }

private:
  std::deque<entry> all_;
  std::map<rank_id, uint32_t> counts_;
};

} // namespace troupe
