#pragma once

/// The one way between nodes. A transport belongs to one process ("node"),
/// knows its peers by node_id and carries frames between them, in order for
/// each pair and lane or not at all: a peer of whose frames one is missing or
/// damaged is lost (frame_order.hpp says what is noticed). A dead peer is an
/// event, never a crash. A peer is lost if it is silent or its connection
/// breaks, not because it is slow: what it does not take yet waits here.
///
/// Two implementations: loopback (loopback.hpp: nodes of one process, no
/// copies) and UCX (ucx_transport.hpp). Frames to the own node are delivered
/// at once by either, so that local and remote take the same path.

#include "runtime/transport/frame.hpp"

#include <chrono>
#include <functional>
#include <string>
#include <vector>

namespace troupe {

struct endpoint_address {
  std::string host; ///< Numeric.
  uint16_t port = 0;
};

/// What a process says of itself when it meets another.
/// What a process brings to a cluster: so many ranks and workers of a unit.
struct node_share {
  uint32_t ranks = 0;
  uint32_t workers = 0;
  std::string unit = {}; ///< Empty: whichever it is.

  /// It says nothing of that: what the topology says of its name.
  bool is_empty() const {
    return ranks == 0 && workers == 0;
  }
};

struct node_identity {
  std::string name;         ///< As in the topology, or of an open place.
  uint64_t incarnation = 0; ///< Random, one per process start.
  /// Of the operations' version; another one is refused. 0: not known.
  uint64_t fingerprint = 0;
  endpoint_address listen; ///< Where others reach it.
  node_share brings = {};
};

struct transport_stats {
  uint64_t bytes_sent = 0;        ///< Headers and bodies that left the process.
  uint64_t strangers_dropped = 0; ///< Connections that proved nothing.
  uint64_t frames_refused[size_t(refusal::num_refusals)] = {};
};

/// What a transport tells its owner, on the transport's own thread (or the
/// sender's, for the own node): short, without blocking. Calls for other nodes
/// come one at a time; they may send. Any of them may be left empty.
struct transport_handler {
  std::function<void(node_id from, frame&&)> on_frame = {};
  /// The process is gone: no frame of that incarnation comes any more, sends
  /// to it vanish. Called once for each that has joined, whoever of us gave the
  /// other up. `why` is one sentence.
  std::function<void(node_id peer, uint64_t incarnation,
                     const std::string& why)>
    on_peer_lost = {};
  /// Before the first frame of that incarnation. Frames may be sent from now
  /// on.
  std::function<void(node_id peer, const node_identity&)> on_peer_joined = {};
  /// What was to become `peer` could not be reached or refused us.
  std::function<void(node_id peer, const failure&)> on_connect_failed = {};
};

class transport {
public:
  virtual ~transport() = default;

  /// Sends `payload` after `header`; fills in version, cluster, source,
  /// destination, view, sequence and length. Never blocks: what the network
  /// does not take yet is kept, up to a limit that no normal work reaches
  /// (set_max_unsent); beyond it the peer counts as lost. Unknown or lost
  /// peers: dropped.
  virtual void send(node_id to, frame_header header, body payload) = 0;

  /// Bytes that may wait for each peer from now on.
  virtual void set_max_unsent(size_t bytes) = 0;

  /// The view that outgoing frames carry.
  virtual void set_view(uint32_t view) = 0;

  /// Gives a process up: nothing is sent to it any more, nothing taken from it.
  /// It hears `why`, one sentence of at most 256 bytes, if it can be reached;
  /// on_peer_lost follows here as well. Nothing happens if that incarnation is
  /// not connected: a late call does not touch a successor.
  virtual void
  disconnect(node_id peer, uint64_t incarnation, const std::string& why)
    = 0;

  virtual transport_stats stats() const = 0;
};

} // namespace troupe
