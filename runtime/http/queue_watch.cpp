#include "runtime/http/queue_watch.hpp"

#include <algorithm>
#include <cmath>

namespace troupe::http {

namespace {

constexpr double half_life = 30;   ///< s; of what has been seen.
constexpr uint64_t least_ends = 4; ///< Fewer say nothing.

/// What was seen for less time says nothing of whether so much is exceeded: a
/// few long answers may be before many short ones.
constexpr double least_time(double max_wait) {
  return std::min(max_wait / 40, half_life / 2);
}

constexpr double longest_wait = 1e6; ///< s; that is said.

uint64_t ended(const service_stats& x) {
  return x.requests_finished + x.requests_failed + x.requests_cancelled;
}

uint64_t num_open(const service_stats& x) {
  return x.requests_accepted - std::min(ended(x), x.requests_accepted);
}

/// Requests that wait for a place. Those that have just come have not been
/// reported yet: unless places are short of blocks, they fill up.
uint64_t waiting(const service_stats& x, const service_info& info) {
  auto open = num_open(x);
  auto places = x.requests_waiting > 0 ? x.requests_running : info.num_places;
  return open - std::min(places, open);
}

} // namespace

queue_watch::queue_watch(seconds max_wait) : max_wait_(max_wait) {
}

void queue_watch::see(instant now, const service_stats& stats,
                      const service_info& info) {
  std::lock_guard guard{mutex_};
  auto until_now = ended(stats);
  if (last_ && is_busy_ && now > *last_) {
    auto time = seconds{now - *last_}.count();
    auto rest = std::exp2(-time / half_life);
    busy_time_ = busy_time_ * rest + time;
    auto ends = until_now - std::min(ended_, until_now);
    busy_ends_ = busy_ends_ * rest + double(ends);
    num_seen_ += ends;
  }
  if (!last_ || now > *last_) {
    last_ = now;
    ended_ = until_now;
  }
  is_busy_ = waiting(stats, info) > 0;
}

std::optional<queue_watch::seconds>
queue_watch::too_long(const service_stats& stats, const service_info& info,
                      uint64_t num_blocks) const {
  std::lock_guard guard{mutex_};
  auto before = waiting(stats, info);
  // What the last step has said of blocks may be older than the last end.
  auto begins_at_once = num_open(stats) == 0
                        || (before == 0 && num_blocks <= stats.kv_blocks_free);
  if (begins_at_once || num_seen_ < least_ends
      || busy_time_ < least_time(max_wait_.count()))
    return std::nullopt;
  seconds wait{
    std::min(double(before + 1) * busy_time_ / busy_ends_, longest_wait)};
  if (wait <= max_wait_)
    return std::nullopt;
  return wait;
}

} // namespace troupe::http
