#pragma once

/// Whose turn it is before another's, of those that wait or run at a rank.

#include <compare>
#include <cstdint>

namespace troupe {

/// The smaller comes first.
struct turn_in_line {
  int64_t place = 0;
  uint64_t age = 0; ///< Number in the order of arrival.

  auto operator<=>(const turn_in_line&) const = default;
};

/// Requests that have come earlier and are passed for one less of priority.
inline constexpr int64_t passed_for_priority = 64;

/// Of the request that came as number `age`. As vLLM has it, the smaller
/// priority comes first; but it is worth a place in the line and not more, so
/// that whoever waits is passed by so many and no others: nobody starves.
constexpr turn_in_line turn_of(uint64_t age, int32_t priority) {
  return {static_cast<int64_t>(age) + priority * passed_for_priority, age};
}

} // namespace troupe
