#pragma once

#include <algorithm>
#include <chrono>

namespace troupe {

/// However long computing may take, and however short.
constexpr std::chrono::milliseconds most_patience{5000};
constexpr std::chrono::milliseconds least_patience{250};

/// How long a request waits for blocks that it could compute in `seconds`,
/// above 0: for longer than twice that nobody waits.
inline std::chrono::milliseconds patience_for(double seconds) {
  using std::chrono::milliseconds;
  auto twice = std::chrono::duration<double>(2 * seconds);
  return std::clamp(std::chrono::duration_cast<milliseconds>(twice),
                    least_patience, most_patience);
}

} // namespace troupe
