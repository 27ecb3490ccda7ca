#pragma once

/// How much one key may ask for in a minute: requests, and tokens of prompts
/// and answers. What is left comes back evenly, up to a minute's worth. Who
/// has asked for more than was left, since nobody knows beforehand how long an
/// answer gets, waits until that is made good.

#include "runtime/http/message.hpp"

#include <chrono>
#include <mutex>
#include <optional>

namespace troupe::http {

struct quota_limits {
  uint64_t requests_per_minute = 0; ///< 0: as many as they like.
  uint64_t tokens_per_minute = 0;   ///< Likewise.

  friend bool operator==(const quota_limits&, const quota_limits&) = default;
};

/// What there is of one thing. The clock is its callers'.
class minute_bucket {
public:
  using instant = std::chrono::steady_clock::time_point;

  /// It begins full. `per_minute` 0: it never gets empty.
  explicit minute_bucket(uint64_t per_minute);

  /// With what is left in `before`, as far as it can hold it; full if that one
  /// had no limit.
  minute_bucket(uint64_t per_minute, const minute_bucket& before);

  /// In a minute; 0: none.
  uint64_t limit() const {
    return static_cast<uint64_t>(per_minute_);
  }

  /// May become less than nothing.
  void take(double count, instant now);

  /// Was taken and not used.
  void give_back(double count, instant now);

  /// What there is.
  double left(instant now) const;

  /// Seconds until there is so much, which it can hold.
  double until(double count, instant now) const;

private:
  double per_minute_;
  double left_;
  std::optional<instant> last_; ///< When `left_` was true.
};

/// Safe to use from several threads.
class key_quota {
public:
  using instant = minute_bucket::instant;

  explicit key_quota(quota_limits limits);

  /// Other limits for who has `before`: nobody gets more by them at once.
  key_quota(quota_limits limits, const key_quota& before);

  const quota_limits& limits() const {
    return limits_;
  }

  /// Why a request comes too soon.
  struct refusal {
    const char* of;       ///< "requests" or "tokens".
    uint64_t limit;       ///< In a minute.
    uint64_t retry_after; ///< s, at least 1.
  };

  /// Counts one more request, unless it is refused.
  std::optional<refusal> admit(instant now);

  /// Counts tokens of a request that was admitted.
  void take_tokens(size_t count, instant now);

  /// A request that was admitted, with so many tokens, has not been let in
  /// after all, by no fault of its own.
  void give_back(size_t num_tokens, instant now);

  /// x-ratelimit-*: limits, what is left, and when all of it is there again.
  header_list headers(instant now) const;

private:
  minute_bucket requests_left() const {
    std::lock_guard guard{mutex_};
    return requests_;
  }

  minute_bucket tokens_left() const {
    std::lock_guard guard{mutex_};
    return tokens_;
  }

  const quota_limits limits_;
  mutable std::mutex mutex_; // guards what follows
  minute_bucket requests_;
  minute_bucket tokens_;
};

} // namespace troupe::http
