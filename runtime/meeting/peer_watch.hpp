#pragma once

/// Which connected peers are alive, judged by their silence. Signs of life in,
/// questions and verdicts out; no clock, no I/O. Every transport asks the same
/// judge, busy or idle.
///
/// Silence is counted in time that this process saw: between two calls of
/// tick() at most one heartbeat period counts. So who was stopped itself, or
/// had no processor, does not take its own absence for that of the others.
///
/// Everything names an incarnation: what is late for a process that is gone
/// does not touch its successor.

#include "runtime/clock.hpp"
#include "runtime/transport/frame.hpp"

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace troupe {

/// As verdicts say how long: "1.0 s".
std::string in_seconds(std::chrono::milliseconds x);

struct watch_options {
  std::chrono::milliseconds heartbeat_period{100};
  std::chrono::milliseconds silence_verdict{1000};
  /// Bytes per second that a healthy network carries at least: heartbeats wait
  /// behind what is under way, and that is no silence.
  double slowest_network = 100e6;
};

class peer_watch {
public:
  explicit peer_watch(watch_options options) : options_(options) {
  }

  /// A process is connected as `peer`. Nobody may be so at present.
  void joined(node_id peer, uint64_t incarnation);

  /// Its connection is over; nothing more is said of it.
  void gone(node_id peer, uint64_t incarnation);

  /// From now on it is asked for signs of life, and judged.
  void monitor(node_id peer);

  /// Something came from it. Late news of another incarnation is ignored.
  void heard(node_id peer, uint64_t incarnation);

  /// Bytes of bodies that wait to be sent to it or were announced by it.
  void set_under_way(node_id peer, uint64_t bytes);

  struct question {
    node_id peer = 0;
    uint64_t incarnation = 0;
  };

  struct verdict {
    node_id peer = 0;
    uint64_t incarnation = 0;
    std::string why; ///< Follows on the peer's name: "was silent for 1.0 s".
  };

  struct news {
    std::vector<question> ask; ///< To be sent a heartbeat.
    std::vector<verdict> dead; ///< Forgotten already; once for each.
  };

  /// To be called at least once a heartbeat period. Cheap when nothing is due.
  news tick(clock::instant now);

  /// When tick has something to do; nothing: while nobody is monitored.
  std::optional<clock::instant> next_tick() const;

private:
  struct entry {
    uint64_t incarnation = 0;
    bool is_monitored = false;
    uint64_t under_way = 0;                ///< Bytes.
    clock::instant::duration silence = {}; ///< As far as we saw it.
  };

  clock::instant::duration patience(const entry& x) const;

  const watch_options options_;
  std::map<node_id, entry> peers_;
  size_t num_monitored_ = 0;
  std::optional<clock::instant> last_; ///< Tick since somebody is monitored.
};

} // namespace troupe
