#pragma once

/// The frames of one link in one direction that are held back for as long as a
/// link_model says. It has no clock: whoever asks says what time it is, and
/// gets what a link of that kind would have brought until then, in the order of
/// each lane. So a late question does not make the next frame late.

#include "runtime/sim/fifo.hpp"
#include "runtime/transport/link_model.hpp"

#include <vector>

namespace troupe {

class emulated_link {
public:
  struct parcel {
    frame_header header;
    body payload;

    size_t size() const {
      return frame_header::size + payload.bytes().size();
    }
  };

  emulated_link(const link_model& model, uint64_t seed);

  /// Takes a frame at `now`, which never goes back.
  void offer(parcel x, clock::instant now);

  /// The next frame that has arrived, if one has by `now`.
  std::optional<parcel> take(clock::instant now);

  /// When take() is worth a call: no frame arrives before. Nothing if it is
  /// empty.
  std::optional<clock::instant> next() const;

  /// Bytes that have not left, as of the last offer() or take().
  size_t num_unsent() const {
    return unsent_;
  }

  /// Everything that it holds, in the order of each lane.
  std::vector<parcel> take_all();

private:
  struct departure {
    parcel what;
    clock::instant at;
  };

  struct lane_state {
    fifo<parcel> waiting;
    fifo<departure> air;      ///< And when each arrives.
    size_t in_air = 0;        ///< Bytes.
    clock::instant last = {}; ///< When the last one arrives.
  };

  void advance(clock::instant now);
  lane_state* next_arrival();
  void leave(clock::instant now);

  const link_model model_;
  random_stream chance_;
  std::array<lane_state, num_lanes> lanes_;
  std::optional<departure> leaving_; ///< When its transmission ends.
  fifo<parcel> arrived_;
  size_t unsent_ = 0;
};

} // namespace troupe
