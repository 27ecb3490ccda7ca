#pragma once

/// The full blocks of a request's beginning as they become known in a rank's
/// cache, for somebody who copies them from there: all that was found is held,
/// and what is read meanwhile.
/// A plain class: no clock, one thread.

#include "runtime/batching/sequence.hpp"

#include <map>
#include <span>

namespace troupe {

class chain_offer {
public:
  /// `cache` outlives this.
  chain_offer(prefix_cache& cache,
              std::shared_ptr<const generation_request> request,
              std::span<const int32_t> answered);

  ~chain_offer();

  chain_offer(const chain_offer&) = delete;
  chain_offer& operator=(const chain_offer&) = delete;

  /// Looks for those that have become known. Returns how many are, from the
  /// first on; never fewer than before.
  uint32_t look();

  /// Of the cache. i < look().
  uint32_t block(uint32_t i) const {
    return held_[i];
  }

  /// As look() has found them.
  uint32_t num_known() const {
    return static_cast<uint32_t>(held_.size());
  }

  /// Block i is not known yet and is being read where it is to be known, in
  /// `block` of the cache: that is held until it is given back.
  void lend(uint32_t i, uint32_t block);

  /// If it was lent.
  void give_back(uint32_t i);

  /// Whether one from `i` on is lent.
  bool is_lent_from(uint32_t i) const {
    return lent_.lower_bound(i) != lent_.end();
  }

  /// Blocks that whoever goes on with the request may begin with.
  uint32_t num_blocks() const {
    return num_prefix_blocks(of_);
  }

private:
  prefix_cache& cache_;
  sequence of_;
  std::vector<uint32_t> held_;
  std::map<uint32_t, uint32_t> lent_;
};

/// What a request will have answered, at least, when another rank goes on with
/// it: one token more, whose value no full block depends on.
std::vector<int32_t> one_more(std::span<const int32_t> answered);

} // namespace troupe
