#pragma once

/// Carries blocks between the cache of a rank and the keeper of its node: a
/// part of the scheduler's actor, which hands on what concerns them. A request
/// whose beginning the disk may have waits here, but not for long; then it is
/// let in with what has come, and the rest is computed.

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

  /// Whether `msg` waits here for blocks of its beginning.
  bool begin(const run_request& msg, const estimate& seconds_for);

  /// Who waits no more after these, to be let in; nothing: nobody.
  using arrival = std::optional<run_request>;
  arrival take(const chain_found& msg);
  arrival take(const block_fetched& msg, uint32_t reserve);
  arrival take(const block_landed& msg);
  arrival take(const fetch_overdue& msg);

  /// Whether this request waited here under that term; it does no more.
  arrival cancel(const cancel_request& msg);

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
    arrival who; ///< Nothing: it has gone on, or away.
    std::shared_ptr<std::atomic<bool>> is_wanted;
  };

  std::map<uint64_t, fetch>::iterator fetch_of(uint64_t id);
  arrival let_in(fetch& x);
  arrival look_after(std::map<uint64_t, fetch>::iterator i);

  const node_context context_;
  const rank_id rank_;
  prefix_cache& cache_;
  uint64_t last_ = 0;
  std::chrono::milliseconds patience_{0};
  std::map<uint64_t, fetch> fetches_;
};

} // namespace troupe
