#pragma once

/// What became of the requests that a node has accepted, the latest ones, by
/// the names that their clients know them by.

#include "runtime/service.hpp"
#include "runtime/tracing/spans.hpp"

#include <map>
#include <mutex>

namespace troupe {

/// Any thread.
class request_log {
public:
  /// Requests that have ended and are kept.
  static constexpr size_t max_kept = size_t{1} << 14;

  /// `time` outlives this.
  explicit request_log(const clock& time) : time_(time) {
  }

  void accepted(request_id id, const generation_request& what);

  /// A rank has it from now on.
  void given(request_id id, uint16_t rank);

  /// Its client was told this.
  void told(request_id id, const generation_event& what);

  /// It has no more.
  void ended(request_id id);

  /// Those that have ended, by end, then those that have not, until now.
  std::vector<request_span> read() const;

private:
  const clock& time_;
  mutable std::mutex mutex_; ///< For what follows.
  std::map<request_id, request_span> open_;
  std::vector<request_span> ring_;
  uint64_t num_ended_ = 0;
};

} // namespace troupe
