#pragma once

/// A clock that stands still until somebody moves it.

#include "runtime/clock.hpp"

namespace troupe {

class hand_clock : public clock {
public:
  instant now() const override {
    return time;
  }

  instant time{std::chrono::hours{1}};
};

} // namespace troupe
