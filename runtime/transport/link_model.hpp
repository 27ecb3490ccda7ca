#pragma once

/// What a link between two nodes is like, in one direction, and what follows
/// for its frames: the same in the virtual world, where it is all there is, and
/// below an emulated_transport, where a real link is added.

#include "runtime/clock.hpp"
#include "runtime/sim/random_stream.hpp"
#include "runtime/transport/frame.hpp"

#include <optional>

namespace troupe {

struct link_model {
  clock::instant::duration latency = std::chrono::microseconds{20};
  clock::instant::duration jitter = {};       ///< Mean; exponential.
  uint64_t bytes_per_second = 10'000'000'000; ///< 0: without limit.
  /// Bytes of a lane that are in the air at once, one frame at least: the
  /// buffers of both sides.
  size_t max_queue = size_t{8} << 20;

  friend bool operator==(const link_model&, const link_model&) = default;
};

/// How long `bytes` take to leave. A rate of 0: no time.
clock::instant::duration transmission_time(size_t bytes,
                                           uint64_t bytes_per_second);

/// How long the next frame is in the air once it has left.
clock::instant::duration flight_time(const link_model& model,
                                     random_stream& chance);

/// Whether a frame of `size` bytes may follow those of its lane that are in
/// the air.
bool has_room(const link_model& model, size_t in_air, size_t size);

/// Which lane's frame leaves next: control first; bulk only where nothing else
/// waits. Both are asked with a lane: whether a frame waits in it, and whether
/// that one may leave.
template <class Waits, class May>
std::optional<lane> next_lane(Waits waits, May may) {
  bool is_first = true;
  for (size_t i = 0; i < num_lanes; ++i) {
    auto which = lane(i);
    if (!waits(which))
      continue;
    if ((is_first || which != lane::bulk) && may(which))
      return which;
    is_first = false;
  }
  return std::nullopt;
}

} // namespace troupe
