#pragma once

/// What makes a lane "in order or lost": between two incarnations the frames of
/// a lane have numbers, from 0 on and around at 65536, in the order in which
/// they are handed to the network. So one that comes twice is known, and one
/// that does not come is missed as soon as another of its lane does. Heartbeats
/// are control: there this is soon where either side watches the other. In the
/// other lanes a hole behind which nothing more is sent is not noticed, nor is
/// one of exactly 65536 frames anywhere.
///
/// A hello has no number: it opens the lanes, and a second one is a repeated
/// one.

#include "runtime/transport/frame.hpp"

namespace troupe {

/// Of one peer, both ways. A plain value without a lock.
class frame_order {
public:
  enum class verdict : uint8_t {
    take,
    repeated, ///< It, or one in its place, was taken before.
    gap,      ///< One before it is missing: what follows is not to be trusted.
  };

  /// The number of the next frame that goes out.
  uint16_t number(frame_class kind);

  /// Judges a frame that has come. The next one is expected once it is taken,
  /// and only then.
  verdict decide(const frame_header& header);

private:
  std::array<uint16_t, num_lanes> next_out_{};
  std::array<uint16_t, num_lanes> next_in_{};
};

} // namespace troupe
