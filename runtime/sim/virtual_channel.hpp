#pragma once

/// The frames of one connection in one direction, from one life to another, as
/// a socket carries them: control before rows before bulk, in the order of each
/// lane. What the link does not take yet waits here.
///
/// The bytes of a body are taken when its transmission ends, not before: memory
/// that was written meanwhile travels as it is then, and does not fit the
/// checksum.

#include "runtime/sim/fifo.hpp"
#include "runtime/sim/virtual_link.hpp"
#include "runtime/transport/block_pool.hpp"

namespace troupe {

class virtual_channel {
public:
  /// A frame that is to go out.
  struct parcel {
    frame_header header;
    uint32_t checksum; ///< Begun; the seal ends it.
    body payload;
    std::array<std::byte, frame_header::size> bytes = {}; ///< Once sealed.
    uint64_t kept_by = 0; ///< The youngest clog that has been seen to.

    size_t size() const {
      return bytes.size() + payload.bytes().size();
    }
  };

  /// The last touch of a frame, in the order in which those of a lane go out.
  /// False: it does not go out.
  using seal_fn = std::function<bool(parcel&)>;
  using arrival_fn = std::function<void(packet)>;

  /// Bytes that have come live in `pool`. `seal` is not called once this is
  /// closed; `arrive` is called in an event of the life `to`.
  virtual_channel(world& w, virtual_link& link, life_id from, life_id to,
                  std::shared_ptr<block_pool> pool, seal_fn seal,
                  arrival_fn arrive);

  void offer(parcel x);

  /// What has not left is dropped; what has still arrives.
  void close();

  /// Bytes that wait, or are leaving.
  size_t num_unsent() const {
    return unsent_;
  }

  /// Bytes of frames that have not arrived, other than those that wait.
  size_t num_under_way() const;

  /// Whether something waits; then since when nothing has left.
  std::optional<virtual_instant> stalled_since() const;

  /// A fault of its link is over.
  void wake();

  /// Closed, and nothing is in the air.
  bool is_over() const;

private:
  struct lane_state {
    fifo<parcel> waiting;
    fifo<packet> air;
    size_t in_air = 0;         ///< Bytes.
    size_t num_owed = 0;       ///< Frames that a cut has kept.
    virtual_instant last = {}; ///< When the last one arrives.
  };

  void pump();
  void pump_soon();
  std::optional<lane> next_lane();
  void leave();
  void depart(parcel x);
  void expect(lane which);
  void arrive(lane which);
  bool is_waiting() const;

  world& world_;
  virtual_link& link_;
  const life_id from_, to_;
  const std::shared_ptr<block_pool> pool_;
  const seal_fn seal_;
  const arrival_fn arrive_;
  std::array<lane_state, num_lanes> lanes_;
  std::optional<parcel> leaving_;
  event_id leaving_event_ = 0;
  event_id pump_event_ = 0; ///< To come.
  size_t unsent_ = 0;
  virtual_instant last_progress_ = {};
  bool is_closed_ = false;
};

} // namespace troupe
