#pragma once

/// Whether blocks are fetched or computed again: whichever is faster, by what
/// reads have taken so far and what the one who asks expects of computing. A
/// plain class, told of the time.

#include "runtime/cost/running_fit.hpp"

#include <cstdint>

namespace troupe {

class fetch_choice {
public:
  /// `num_at_once`: blocks that are read side by side.
  explicit fetch_choice(uint32_t num_at_once) : num_at_once_(num_at_once) {
  }

  /// A block was read, and has taken so long.
  void add(double seconds);

  /// What `count` blocks will take behind `num_waiting` others; 0 before any
  /// has been read.
  double seconds_for(uint64_t count, uint64_t num_waiting) const;

  /// Whether to fetch `count` blocks behind `num_waiting` others, which would
  /// take `to_compute` seconds, 0: unknown. Every 16th time that this says no
  /// it says yes, so that it hears of a disk that has become faster.
  bool is_worth_it(uint64_t count, uint64_t num_waiting, double to_compute);

private:
  uint32_t num_at_once_;
  running_fit read_{0.95};
  uint32_t num_declined_ = 0;
};

} // namespace troupe
