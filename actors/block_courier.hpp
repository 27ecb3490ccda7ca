#pragma once

/// Carries blocks between the cache of a rank and the keeper of its node: a
/// part of the scheduler's actor, which hands on what concerns them. A request
/// whose beginning the disk may have waits here, but not for long; then it is
/// let in with what has come, and the rest is computed.
///
/// Who wants most of what somebody waits for already follows that one instead
/// of fetching it again, and looks for the rest when that one goes on.

#include "actors/cast.hpp"
#include "runtime/batching/chain_fetch.hpp"

#include <map>

namespace troupe {

class block_courier {
public:
  /// `cache` outlives this and is its actor's.
  block_courier(const node_context& context, rank_id rank, prefix_cache& cache);

  /// Whether blocks are kept at all.
  bool is_on() const;

  /// What became known since this was called last is to be kept, what was
  /// spoilt is not.
  void keep_fresh();
  void take(const blocks_let_go& msg);

  /// Called with a chain that memory lacks: the seconds that computing it
  /// would take, from the token before it on; 0: unknown.
  using estimate = std::function<double(uint32_t first, uint32_t count)>;

  enum class wait {
    none,     ///< It can be let in.
    fetching, ///< The one who asks has to say overdue().
    following ///< Others' fetch is looked after already.
  };

  /// Whether `msg` waits here for blocks of its beginning. What the cache has
  /// of it counts as used, and is kept if it is not. `may_follow`: it has not
  /// followed before.
  wait begin(const run_request& msg, const estimate& seconds_for,
             bool may_follow = true);

  /// Who waits no more after these.
  struct arrivals {
    std::vector<run_request> in;    ///< To be let in.
    std::vector<run_request> again; ///< To begin once more.
  };
  arrivals take(const chain_found& msg);
  arrivals take(const block_fetched& msg, uint32_t reserve);
  arrivals take(const block_landed& msg);
  arrivals take(const fetch_overdue& msg);

  /// Whether this request waited here under that term; it does no more.
  std::optional<run_request> cancel(const cancel_request& msg);

  /// Requests that wait here.
  uint32_t num_waiting() const;

  /// What is to be told of what was begun last, and when.
  fetch_overdue overdue() const {
    return {last_};
  }

  std::chrono::milliseconds patience() const {
    return patience_;
  }

private:
  struct fetch {
    std::unique_ptr<chain_fetch> of;
    std::optional<run_request> who; ///< Nothing: it has gone on, or away.
    std::shared_ptr<std::atomic<bool>> is_wanted;
    std::vector<run_request> followers = {}; ///< While somebody waits.
    bool is_anothers = false; ///< `who` followed one that has gone away.
  };

  void keep(const std::vector<uint32_t>& blocks);
  std::map<uint64_t, fetch>::iterator fetch_of(uint64_t id);
  fetch* to_follow(const std::vector<kv_block>& chain);
  static void let_go(fetch& x);
  arrivals look_after(std::map<uint64_t, fetch>::iterator i);

  const node_context context_;
  const rank_id rank_;
  prefix_cache& cache_;
  uint64_t last_ = 0;
  std::chrono::milliseconds patience_{0};
  std::map<uint64_t, fetch> fetches_;
};

} // namespace troupe
