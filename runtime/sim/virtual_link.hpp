#pragma once

/// The way from one node to another, in one direction: how fast it is and what
/// is wrong with it at present. Frames travel in channels, one for each
/// connection; what doors say to each other travels here.
///
/// A link promises what a connection does, in order or not at all: what a cut
/// has swallowed comes late, when it is healed. Only what tampers with frames
/// (duplicate, corrupt, replay) breaks that promise, at the receiver's gate.

#include "runtime/sim/frame_filter.hpp"
#include "runtime/sim/world.hpp"
#include "runtime/transport/link_model.hpp"

#include <array>
#include <memory>

namespace troupe {

class virtual_channel;

struct link_fault {
  enum class kind : uint8_t {
    cut,       ///< What is in the air or comes does not arrive until healed.
    clog,      ///< Nothing leaves the sender.
    delay,     ///< By `time`, besides the latency.
    rate,      ///< No more than `bytes_per_second`.
    duplicate, ///< With probability `p`, a frame comes twice.
    corrupt,   ///< With probability `p`, a bit is another.
    replay,    ///< With probability `p`, an old frame comes again after one.
  };

  kind what = kind::cut;
  frame_filter which = frame_filter::all;
  virtual_duration time = {};
  uint64_t bytes_per_second = 0;
  double p = 0;
  uint64_t num_hit = 0; ///< Frames that it did something to.
  uint64_t number = 0;  ///< From 1 on, as they begin.
};

using fault_ptr = std::shared_ptr<link_fault>;

/// A frame as it travels. Nobody writes to its body any more.
struct packet {
  std::array<std::byte, frame_header::size> header;
  body payload = {};
  bool is_tampered = false; ///< A fault has changed it.
};

class virtual_link {
public:
  /// `retransmission`: how long it takes at most until a sender finds that a
  /// cut is healed.
  virtual_link(world& w, node_id from, node_id to, const link_model& model,
               virtual_duration retransmission);

  void set_model(const link_model& model) {
    model_ = model;
  }

  const link_model& model() const {
    return model_;
  }

  /// Carries what one door says to another: `what` happens in the life `to`, or
  /// in the world, for what no process has to do itself.
  void say(life_id to, job what);

  // -- faults -----------------------------------------------------------------

  void begin(const fault_ptr& x);
  void heal(const fault_ptr& x);

  // -- for channels -----------------------------------------------------------

  void add(virtual_channel& x);

  /// A connection is over: what is kept of its frames is old now.
  void retire();

  /// Whether such a fault keeps a lane; counts it as a hit of those that are
  /// younger than `counted`, the youngest for which it has been counted.
  bool is_stopped(link_fault::kind what, lane which, uint64_t& counted);

  bool is_stopped(link_fault::kind what, lane which) {
    uint64_t none = 0;
    return is_stopped(what, which, none);
  }

  /// Whether a heartbeat is not even sent; counts it as a hit.
  bool has_no_heartbeats();

  /// How long `bytes` take to leave.
  virtual_duration transmission(size_t bytes, frame_class kind);

  /// How long a frame is in the air.
  virtual_duration flight(frame_class kind);

  /// After a cut, besides the flight.
  virtual_duration late();

  /// What comes out where `x` goes in: itself, perhaps damaged, and perhaps
  /// others.
  std::vector<packet> tamper(packet x);

  bool is_tampering() const {
    return is_tampering_;
  }

  /// It may come again, see link_fault::replay.
  void keep(const packet& x);

private:
  struct word {
    life_id to;
    job what;
  };

  /// Frames that are kept for replay, of this connection and those before.
  static constexpr size_t num_kept = 8;
  static constexpr size_t largest_kept = 16 << 10;

  void arrive();
  void expect_word();
  void spoil(packet& x);
  bool draw(link_fault::kind what, frame_class kind);

  world& world_;
  link_model model_;
  const virtual_duration retransmission_;
  random_stream chance_;
  std::vector<fault_ptr> faults_;
  bool is_tampering_ = false;
  std::vector<virtual_channel*> channels_;
  std::deque<word> words_;
  virtual_instant last_word_ = {}; ///< When the last of them arrives.
  size_t num_owed_ = 0;            ///< Words that should have arrived.
  std::array<packet, 2 * num_kept> kept_;
  size_t num_fresh_ = 0, num_old_ = 0; ///< Ever kept, in the two halves.
};

} // namespace troupe
