#pragma once

/// How long a request would wait for its turn: from how many are before it,
/// and how fast others have come to their ends while some waited. Knows no
/// clock; any thread.

#include "runtime/service.hpp"

#include <chrono>
#include <mutex>

namespace troupe::http {

class queue_watch {
public:
  using instant = std::chrono::steady_clock::time_point;
  using seconds = std::chrono::duration<double>;

  /// `max_wait`: what a request may be asked to wait.
  explicit queue_watch(seconds max_wait);

  /// What the service says at `now`: when a request comes and when one ends.
  void see(instant now, const service_stats& stats, const service_info& info);

  /// How long a request for so many blocks would wait, if that is longer than
  /// it may be asked to. Nothing: shorter, or nobody knows.
  std::optional<seconds> too_long(const service_stats& stats,
                                  const service_info& info,
                                  uint64_t num_blocks) const;

private:
  const seconds max_wait_;
  mutable std::mutex mutex_; ///< For what follows.
  std::optional<instant> last_;
  uint64_t ended_ = 0;    ///< Requests, until then.
  bool is_busy_ = false;  ///< Some waited then.
  uint64_t num_seen_ = 0; ///< Requests that ended while others waited.
  double busy_time_ = 0;  ///< s, of which the old counts less.
  double busy_ends_ = 0;  ///< Requests that ended in it.
};

} // namespace troupe::http
