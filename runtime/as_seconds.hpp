#pragma once

#include <chrono>

namespace troupe {

/// Any duration as a number of seconds.
constexpr double as_seconds(std::chrono::duration<double> x) {
  return x.count();
}

} // namespace troupe
