#pragma once

/// A transport whose links can be made worse while it runs. It keeps the
/// promise of every transport: frames of a pair and lane come in order or not
/// at all, and what waits has a limit. So what a fault keeps is only late.
///
/// What goes out of this process is held; what comes in is held by its sender.
/// Heartbeats are made below, by the transport that is decorated: it asks
/// `withholds_heartbeat`. Who is told that it was given up hears of it on
/// another way, which no fault of these closes.

#include "runtime/clock.hpp"
#include "runtime/sim/frame_filter.hpp"
#include "runtime/transport/transport_decorator.hpp"

#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>

namespace troupe {

/// What is wrong with the way to one peer.
struct link_rule {
  enum class kind : uint8_t {
    stop,  ///< Nothing goes out; heartbeats neither.
    delay, ///< Frames go out `extra` later; heartbeats as ever.
    rate,  ///< No more than `bytes_per_second`; heartbeats as ever.
  };

  kind what = kind::stop;
  node_id peer = 0;
  frame_filter which = frame_filter::all;
  std::chrono::nanoseconds extra{0};
  uint64_t bytes_per_second = 0; ///< Above 0 for `rate`.

  friend bool operator==(const link_rule&, const link_rule&) = default;
};

/// Who hears of peers, on the transport's thread.
using peer_observer = std::function<void(node_id peer, bool has_joined)>;

/// The rules of a node's links, and the frames that they keep. Shared by a
/// faulty_transport and whoever carries faults out; for any thread.
class link_faults {
public:
  using rule_id = uint64_t;

  explicit link_faults(const clock& time, peer_observer observe = {});

  rule_id begin(const link_rule& x);

  /// Frames that nothing else keeps go out at the next release().
  void heal(rule_id x);

  /// Frames, heartbeats included, that it has kept so far.
  uint64_t num_hit(rule_id x) const;

  /// Breaks the connection with `peer`. False: there is none.
  bool reset(node_id peer);

  /// Lets go what is due. Somebody has to call this again and again: at
  /// next_release(), or often.
  void release();

  /// When time alone will let something go; the maximum if nothing waits for
  /// time. After heal(): at once.
  clock::instant next_release() const;

  // -- for the transport below ------------------------------------------------

  /// Whether a heartbeat to `peer` is not to be sent; counts it as a hit.
  bool withholds_heartbeat(node_id peer);

  /// What is to be told to the owner of the transport, after it was told here.
  transport_handler listen(transport_handler owner);

private:
  friend class faulty_transport;

  struct rule {
    link_rule what;
    uint64_t num_hit = 0;
    bool is_over = false;
    clock::instant free_at = {}; ///< Of `rate`: for the next frame.
  };

  struct kept_frame {
    frame_header header;
    body payload;
    clock::instant sent; ///< By the owner.
  };

  struct lane_state {
    std::deque<kept_frame> kept;
    bool is_releasing = false; ///< One of its frames is on its way out.
  };

  struct link {
    std::optional<uint64_t> incarnation; ///< While it is connected.
    std::array<lane_state, num_lanes> lanes;
    size_t num_bytes = 0; ///< That are kept.
  };

  void attach(transport& inner);
  void detach();
  void set_max_unsent(size_t bytes);
  void drop(node_id peer);
  /// Takes the frame if it may not go yet. False: it is the caller's to send.
  bool keep(node_id to, const frame_header& header, const body& payload);
  /// When the first of `lane` may go: the maximum while a rule stops it.
  clock::instant due(node_id peer, lane which, const kept_frame& x) const;
  bool release_one(node_id peer, lane which);
  void pay(node_id peer, lane which, size_t bytes, clock::instant now);

  const clock& time_;
  const peer_observer observe_;

  std::mutex door_; ///< For `inner_`; held while frames go out.
  transport* inner_ = nullptr;

  mutable std::mutex mutex_; ///< For what follows. Never held while calling.
  std::vector<rule> rules_;  ///< By rule_id.
  std::map<node_id, link> links_;
  size_t max_unsent_ = size_t{256} << 20;
};

/// The decorator. Frames to the own node pass, as no rule names it.
class faulty_transport final : public transport_decorator {
public:
  faulty_transport(std::unique_ptr<transport> inner,
                   std::shared_ptr<link_faults> faults);
  ~faulty_transport() override;

  void send(node_id to, frame_header header, body payload) override;
  void set_max_unsent(size_t bytes) override;

private:
  const std::shared_ptr<link_faults> faults_; ///< Outlives what it listens to.
};

} // namespace troupe
