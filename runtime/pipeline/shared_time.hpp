#pragma once

/// What steps take that are out at once: they share the stream of their rank,
/// so a moment belongs in equal parts to all that are out in it. The shares of
/// all steps add up to the time in which any was out, which is what the work
/// took; from begin to end each takes as long as its user waits. A plain class,
/// told of the time.

#include "runtime/clock.hpp"

#include <array>
#include <cstdint>

namespace troupe {

class shared_time {
public:
  using duration = clock::instant::duration;

  /// A step begins in `lane`, below 4, where none is out; now.
  void began(uint8_t lane, clock::instant now);

  /// It has ended, now. Returns its share.
  duration ended(uint8_t lane, clock::instant now);

private:
  static constexpr uint8_t max_lanes = 4;

  void pass(clock::instant now);

  std::array<duration, max_lanes> shares_ = {};
  uint8_t out_ = 0; ///< Bit i: lane i.
  clock::instant last_ = {};
};

} // namespace troupe
