#pragma once

/// How a real link is to behave, as a flag says it:
///
///   latency=2ms                        # what is not named keeps its default
///   to=2,class=rows,latency=2ms,jitter=100us,rate=10gbit,queue=1048576,seed=7
///
/// latency   of every frame, one way, beside what the real link takes (0s)
/// jitter    mean of what is added to it, exponential (0s)
/// rate      bits per second, with bit, kbit, mbit or gbit (no limit)
/// queue     bytes of a lane that are in the air at once (8388608)
/// to        number of the node to which frames go (every other node)
/// class     rows, control, bulk or all (all); never heartbeats
/// seed      of the jitter (1)

#include "runtime/error.hpp"
#include "runtime/sim/frame_filter.hpp"
#include "runtime/transport/link_model.hpp"
#include "runtime/transport/transport.hpp"

#include <span>

namespace troupe {

struct link_emulation {
  std::optional<node_id> to;              ///< Nothing: to every other node.
  frame_filter which = frame_filter::all; ///< Never heartbeat.
  link_model model{.latency = {}, .jitter = {}, .bytes_per_second = 0};
  uint64_t seed = 1;

  /// Whether frames of that lane are held back as it says.
  bool concerns(node_id peer, lane x) const {
    return (!to || *to == peer) && is_about(which, x);
  }

  /// Whether it holds nothing back: what it concerns goes out at once.
  bool is_none() const;

  friend bool operator==(const link_emulation&, const link_emulation&)
    = default;
};

/// Error: invalid_input with one sentence that names the key.
result<link_emulation> parse_link_emulation(std::string_view text);

/// Writes what parse_link_emulation reads back to the same.
std::string render(const link_emulation& x);

/// One sentence for those who start a node. `all` is not empty.
std::string describe(std::span<const link_emulation> all);

} // namespace troupe
