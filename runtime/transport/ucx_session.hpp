#pragma once

/// One peer as the I/O thread sees it: its line, its link, and what is to go
/// out to it. Knows nothing of meetings.
///
/// What the network does not take yet waits here, in the order of its lane, and
/// a lane hands over no more than a window at once, so that control waits
/// behind few bytes of rows.

#include "runtime/clock.hpp"
#include "runtime/meeting/door.hpp"
#include "runtime/transport/frame_gate.hpp"
#include "runtime/transport/ucx_link.hpp"

#include <algorithm>
#include <atomic>
#include <deque>
#include <utility>

namespace troupe {

/// What senders know of a peer. Shared by them and the I/O thread.
struct ucx_peer {
  ucx_peer(node_id id, node_identity identity, frame_seal seal)
    : id(id), identity(std::move(identity)), seal(std::move(seal)) {
  }

  node_id id;
  node_identity identity;
  frame_seal seal;                ///< Of the frames between us.
  std::atomic<size_t> unsent = 0; ///< Bytes, headers included.
};

class ucx_session {
public:
  /// A frame that is to go out. It gets its number, and so the rest of its
  /// checksum, when the network is handed it.
  struct parcel {
    frame_header header;
    uint32_t checksum; ///< Begun.
    body payload;
    unsent_charge charge; ///< Of its peer.

    size_t size() const {
      return frame_header::size + payload.bytes().size();
    }
  };

  /// `window`: bytes of a lane that the network is handed at once; at least
  /// one frame is. What waits lives in `pool`. `gate` outlives this.
  ucx_session(acquaintance other, node_id id, bool is_ours, size_t window,
              frame_gate& gate, const std::shared_ptr<block_pool>& pool);

  const std::shared_ptr<ucx_peer>& peer() const {
    return peer_;
  }

  line_id line() const {
    return other_.line;
  }

  uint64_t incarnation() const {
    return peer_->identity.incarnation;
  }

  const std::vector<std::byte>& data_address() const {
    return other_.data_address;
  }

  /// We dialled.
  bool is_ours() const {
    return is_ours_;
  }

  /// Null before it is connected.
  const std::shared_ptr<ucx_link>& link() const {
    return link_;
  }

  void set_link(std::shared_ptr<ucx_link> link) {
    link_ = std::move(link);
  }

  /// Hands it to the network, or lets it wait for room.
  void offer(parcel x);

  /// Hands over what has waited and has room now. Returns whether anything was.
  bool pump();

  bool is_waiting() const {
    return std::ranges::any_of(waiting_, [](auto& x) { return !x.empty(); });
  }

  bool is_sending() const {
    return link_ && link_->num_sending() > 0;
  }

  /// Bytes of frames between us that are neither out nor here.
  size_t bytes_under_way() const;

  /// Its line has ended; what came before that is still read. `why` follows on
  /// the peer's name.
  void end_line(clock::instant now, const std::string& why);

  /// We have given it up. It has a moment to hear why.
  void leave(clock::instant now);

  /// Why it is over, if it is: its line has ended, or its deadline has passed.
  /// Follows on the peer's name.
  std::optional<failure> end_at(clock::instant now) const;

  /// When end_at will have something to say, as far as that is known.
  clock::instant deadline() const;

  /// Why its link has failed: for UCX's reason, unless the line says it better.
  std::string why_broken(const char* reason) const;

  /// Its line has ended and it soon will.
  bool is_ending() const {
    return line_ended_.has_value();
  }

  /// Joined, and not given up.
  bool is_peer() const {
    return is_joined && !left_;
  }

  bool is_left() const {
    return left_.has_value();
  }

  /// How long the network has taken nothing although there was something.
  clock::instant::duration stall(clock::instant now);

  /// Drops what waits, and closes the link.
  void close();

  // -- for its owner ----------------------------------------------------------

  bool is_joined = false; ///< Both sides have heard of each other by frame.
  bool is_over = false;
  std::string why_over; ///< Empty: no event.
  errc code = errc::peer_lost;
  clock::instant join_deadline = {};

private:
  using queue = std::deque<parcel, pooled_allocator<parcel>>;

  bool has_room(const parcel& x) const;
  bool may_send_bulk() const;
  void transmit(parcel x);

  const acquaintance other_;
  const bool is_ours_;
  const size_t window_;
  frame_gate& gate_;
  const std::shared_ptr<ucx_peer> peer_;
  std::shared_ptr<ucx_link> link_;
  std::array<queue, num_lanes> waiting_;
  uint64_t num_sent_ = 0; ///< At stalled_since_.
  std::optional<clock::instant> stalled_since_;
  std::optional<clock::instant> line_ended_;
  std::string why_line_ended_;
  std::optional<clock::instant> left_;
};

} // namespace troupe
