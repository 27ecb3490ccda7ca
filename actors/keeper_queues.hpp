#pragma once

/// What waits for the keeper to have host memory for it: a part of the keeper.

#include "actors/kept_blocks.hpp"

#include <deque>
#include <map>
#include <optional>

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

/// Blocks that are to be written to the disk, in order: from host memory, or
/// from the caches of ranks. Each rank has a share of it: what waits in its
/// cache cannot be used for anything else.
class write_queue {
public:
  struct entry {
    std::optional<rank_id> rank; ///< Nothing: it stands in host memory.
    known_block of;
  };

  bool empty() const {
    return all_.empty();
  }

  const entry& front() const {
    return all_.front();
  }

  /// Of a queue that is not empty.
  entry pop() {
    auto out = std::move(all_.front());
    all_.pop_front();
    if (out.rank)
      --counts_[*out.rank];
    return out;
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

  /// The same, of one in host memory.
  bool add(const kv_block& x) {
    if (all_.size() >= max_waiting)
      return false;
    all_.push_back({std::nullopt, {0, x}});
    return true;
  }

  /// Takes those with these keys out, and what stands on them, whose keys it
  /// adds.
  std::vector<entry> take(kv_key_set& keys) {
    std::vector<entry> out;
    std::erase_if(all_, [&](auto& x) {
      auto& what = x.of.what;
      auto stands = what.depth > 0 && keys.contains(what.before);
      if (!stands && !keys.contains(what.key))
        return false;
      keys.insert(what.key);
      if (x.rank)
        --counts_[*x.rank];
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
