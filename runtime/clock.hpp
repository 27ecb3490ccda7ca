#pragma once

/// Time, as an object that a constructor is given, so that tests and the
/// simulation can hand in another one. Never goes back, knows no calendar.

#include <chrono>

namespace troupe {

class clock {
public:
  using instant = std::chrono::steady_clock::time_point;

  virtual ~clock() = default;

  virtual instant now() const = 0;
};

/// The machine's.
class system_clock : public clock {
public:
  instant now() const override;
};

} // namespace troupe
