#pragma once

/// What makes a lane "in order or lost": between two incarnations the frames of
/// a lane have numbers, from 0 on and around at 65536, in the order in which
/// they are handed to the network. So one that comes twice is known, and one
/// that does not come is missed as soon as another of its lane does. Heartbeats
/// are control: there this is soon where either side watches the other, and
/// they say how many frames have gone before in the other lanes.
///
/// What is not noticed: the loss of the last frame of a lane between two who do
/// not watch each other, and that of 32768 frames or more one after the other,
/// whose successors count as repeated, but for those that a heartbeat tells of.
///
/// A hello has no number: it opens the lanes, and a second one is a repeated
/// one.

#include "runtime/transport/frame.hpp"

#include <optional>

namespace troupe {

/// Frames of each lane.
using lane_counts = std::array<uint32_t, num_lanes>;

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

  /// What a heartbeat that goes out now says of rows and bulk, as its `first`.
  uint64_t announcement() const;

  /// Judges a frame that has come. The next one is expected once it is taken,
  /// and only then.
  verdict decide(const frame_header& header);

  /// Whether rows or bulk are missing that had gone before the heartbeat before
  /// this one; never at the first. `waiting` have come and are not judged yet,
  /// however much of their bodies is still under way: a network whose lanes
  /// overtake each other by more than a heartbeat period must not ask.
  bool misses(const frame_header& heartbeat, const lane_counts& waiting);

private:
  lane_counts next_out_{};
  lane_counts next_in_{};
  std::optional<uint64_t> announced_; ///< By the last heartbeat.
};

} // namespace troupe
