#pragma once

/// Frames between processes, as UCX active messages over TCP. One I/O thread
/// per transport owns every connection and sleeps when there is nothing to do;
/// any thread may send. Peers meet at a door of our own, where they prove
/// that they know the cluster's secret (runtime/meeting). A dead, silent or cut
/// peer is an event.
///
/// One side of each pair connects. If both do, one connection survives.

#include "runtime/clock.hpp"
#include "runtime/entropy.hpp"
#include "runtime/error.hpp"
#include "runtime/log.hpp"
#include "runtime/meeting/doorman.hpp"
#include "runtime/transport/transport.hpp"

#include <chrono>
#include <functional>
#include <memory>
#include <optional>

namespace troupe {

class ucx_io;

struct ucx_options {
  /// Numeric address of one interface of this machine. Port 0: any.
  endpoint_address listen = {"127.0.0.1", 0};
  std::string cluster = "troupe";
  /// Empty is refused beyond loopback, unless `insecure`.
  std::string secret;
  bool insecure = false;
  tls_files tls; ///< Of meetings; none: clear text, but proven.
  /// Name and fingerprint. An incarnation of 0 is drawn; listen is filled in.
  node_identity self;
  /// 0 for the controller; a joining node learns its own later (set_self).
  std::optional<node_id> self_id;
  bool checksum_bodies = false; ///< Covers bodies if either side wants it.
  std::chrono::milliseconds heartbeat_period{100};
  std::chrono::milliseconds silence_verdict{1000};
  std::chrono::milliseconds handshake_deadline{5000};
  size_t max_pending_handshakes = 64; ///< Of those who came to us.
  size_t max_body = size_t{32} << 20;
  /// Bytes of a lane that are handed to the network at once, for each peer; at
  /// least one frame is. The rest waits here, so that a heartbeat waits behind
  /// no more than this.
  size_t window = size_t{8} << 20;
  /// Bytes that may wait for each peer, until set_max_unsent.
  size_t max_unsent = size_t{256} << 20;
  /// Bytes of memory that frames have used and that are kept for the next ones.
  size_t max_idle = size_t{64} << 20;
  /// A peer to which bytes are under way and that takes none for so long is
  /// lost, also if nobody watches it.
  std::chrono::milliseconds stall_verdict{30000};
  /// Asked before each heartbeat to a peer, on the I/O thread; true: it is not
  /// sent. Empty: all are.
  std::function<bool(node_id)> withholds_heartbeat = {};
};

/// What a transport is given to live on; must outlive it.
struct ucx_environment {
  const clock& time;
  entropy& chance;
  const logger& log;
};

class ucx_transport final : public transport {
public:
  /// Listens and starts the I/O thread. Error: invalid_input or io.
  static result<std::unique_ptr<ucx_transport>>
  listen(ucx_options options, ucx_environment environment, admission admit,
         transport_handler handler);

  /// Closes every connection; no handler is called once this returns.
  ~ucx_transport() override;

  /// Ourselves, with the address at which others reach us.
  const node_identity& self() const;

  /// Tells which node we are, once.
  void set_self(node_id id);

  /// Connects to the process that is meant, which will be `peer` here. Ends in
  /// on_peer_joined or on_connect_failed within the deadline, or twice that if
  /// its data port does not answer. If that process is a peer already nothing
  /// happens.
  void connect(node_id peer, dial_target target);

  /// Watches a joined peer from now on: it is asked for a sign of life each
  /// heartbeat period and lost after the silence verdict.
  void monitor(node_id peer);

  void send(node_id to, frame_header header, body payload) override;
  void set_max_unsent(size_t bytes) override;
  void set_view(uint32_t view) override;
  void disconnect(node_id peer, uint64_t incarnation,
                  const std::string& why) override;
  transport_stats stats() const override;

private:
  explicit ucx_transport(std::unique_ptr<ucx_io> io);

  std::unique_ptr<ucx_io> io_;
};

} // namespace troupe
