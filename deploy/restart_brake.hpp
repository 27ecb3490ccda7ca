#pragma once

/// When a process that has ended begins anew: later and later while it keeps
/// ending, and no more often in a period than it may. Events in, answers out.

#include "runtime/clock.hpp"

#include <chrono>
#include <deque>
#include <optional>

namespace troupe {

class restart_brake {
public:
  struct limits {
    uint32_t most = 5; ///< Restarts within `period`; 0: none.
    std::chrono::seconds period{600};
    std::chrono::milliseconds first_wait{500}; ///< Doubles with each restart.
    std::chrono::milliseconds longest_wait{30'000};
  };

  explicit restart_brake(limits x) : limits_(x) {
  }

  /// It has ended. Returns how long to wait: if it did so too often, until the
  /// first of those ends is a period ago. Nothing: it stays so, with no
  /// restarts allowed.
  std::optional<std::chrono::milliseconds> ended(clock::instant now);

private:
  limits limits_;
  std::deque<clock::instant> ends_; ///< Of the last period, restarted after.
};

} // namespace troupe
