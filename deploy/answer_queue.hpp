#pragma once

/// Events of one request on their way from the service's thread to ours. As
/// long as its answer, no longer.

#include "runtime/service.hpp"

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>

namespace troupe {

class answer_queue {
public:
  void push(const generation_event& event) {
    std::lock_guard guard{mutex_};
    events_.push_back(event);
    changed_.notify_one();
  }

  /// Returns nothing if none has come within `limit`.
  std::optional<generation_event> pop(std::chrono::milliseconds limit) {
    std::unique_lock guard{mutex_};
    if (!changed_.wait_for(guard, limit, [&] { return !events_.empty(); }))
      return std::nullopt;
    auto out = std::move(events_.front());
    events_.pop_front();
    return out;
  }

private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<generation_event> events_;
};

} // namespace troupe
