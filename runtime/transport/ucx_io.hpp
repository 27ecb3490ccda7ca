#pragma once

/// The I/O thread of a ucx_transport and all that lives on it: one session for
/// each connection, first meeting, then joined.
///
///             greeting ... welcome            silence, error, disconnect
///    meeting ---------------------> joined -----------------------------> gone
///       |         refusal, deadline, error                                  ^
///       +-------------------------------------------------------------------+
///
/// A session ends only between two calls of progress(): end() notes it, bury()
/// does it, because UCX's callbacks must not close an endpoint.

#include "kernels/host/crowd.hpp"
#include "runtime/transport/frame_gate.hpp"
#include "runtime/transport/handshake.hpp"
#include "runtime/transport/ucx_link.hpp"
#include "runtime/transport/ucx_mailbox.hpp"
#include "runtime/transport/ucx_transport.hpp"
#include "runtime/transport/ucx_worker.hpp"

#include <map>
#include <shared_mutex>
#include <thread>
#include <unordered_map>

namespace troupe {

/// What senders know of a joined peer. Shared by them and the I/O thread.
struct ucx_peer {
  node_id id;
  node_identity identity;
  bool checksum_bodies;
  std::atomic<size_t> unsent = 0; ///< Bytes, headers included.
};

class ucx_io final : ucx_link::owner {
public:
  ucx_io(ucx_options options, ucx_environment environment, admission admit,
         transport_handler handler);
  ~ucx_io();

  /// Listens and starts the thread.
  result<void> start();

  // -- for any thread ---------------------------------------------------------

  const node_identity& self() const {
    return options_.self;
  }

  void set_self(node_id id);
  void set_max_unsent(size_t bytes);
  void set_view(uint32_t view, uint32_t epoch);
  void connect(node_id peer, endpoint_address address,
               std::chrono::milliseconds deadline, std::string name);
  void monitor(node_id peer);
  void send(node_id to, frame_header header, body payload);
  void disconnect(node_id peer);
  transport_stats stats() const;

private:
  /// A frame that is to go out. `charge` gives its bytes back to its peer.
  struct parcel {
    header_bytes header;
    body payload;
    std::shared_ptr<const void> charge;
  };

  struct session {
    std::shared_ptr<ucx_link> link;
    bool is_ours = false;    ///< We connected.
    bool is_over = false;    ///< end() was called.
    bool is_refused = false; ///< Waits for the other side to go.
    std::string why_over;
    errc code = errc::peer_lost;
    clock::instant deadline = {}; ///< Of the meeting.
    // While meeting:
    std::unique_ptr<handshake> meeting;
    node_id expected = 0;      ///< If ours.
    std::string expected_name; ///< If ours; may be empty.
    std::string address;       ///< If ours.
    // Once joined:
    std::shared_ptr<ucx_peer> peer;
    bool is_monitored = false;
    clock::instant last_heard = {};
    clock::instant next_question = {};
    std::deque<parcel> waiting[num_lanes]; ///< For room in the lane's window.
    uint64_t num_sent = 0;                 ///< At stalled_since.
    clock::instant stalled_since = {};

    size_t num_waiting() const {
      return waiting[0].size() + waiting[1].size();
    }
  };

  using session_ptr = std::shared_ptr<session>;

  // -- the loop (ucx_io.cpp) --------------------------------------------------
  void run();
  bool is_sending() const;
  void pause(clock::instant last_busy);
  void post(ucx_mailbox::call f);
  void on_connection(ucp_conn_request_h request);
  ucs_status_t on_am(std::span<const std::byte> header, void* data,
                     size_t length, const ucp_am_recv_param_t& param);
  void on_message(ucx_link& from, const header_bytes& header,
                  body payload) override;
  void on_failure(ucx_link& which, ucs_status_t why) override;
  void on_joined_frame(session& from, frame&& x);
  /// Bytes that a peer may have announced: several times what its windows let
  /// it have under way, since what has come may wait for its turn.
  size_t most_expected() const;
  std::shared_ptr<ucx_link> make_link();
  session_ptr find(ucp_ep_h endpoint) const;
  session_ptr find(node_id peer) const;
  void transmit(session& to, const header_bytes& header, body payload,
                std::shared_ptr<const void> charge = nullptr);
  void offer(const std::shared_ptr<ucx_peer>& peer, parcel&& x);
  bool has_room(const session& to, const parcel& x) const;
  bool pump();
  bool pump(session& x);
  void deliver_to_self(frame_header header, body payload);
  void end(session& x, errc code, std::string why);
  void bury();
  void bury(const session_ptr& x);
  void close_all();

  // -- meeting and watching (ucx_io_peers.cpp) --------------------------------
  void start_meeting(const session_ptr& x, handshake::role side,
                     std::chrono::milliseconds deadline);
  void start_connect(node_id peer, const endpoint_address& address,
                     std::chrono::milliseconds deadline, std::string name);
  void send_hello(session& to, std::span<const std::byte> message);
  void on_hello(session& from, const frame& x);
  void on_proven(session& from);
  result<node_id> place_of(session& from);
  bool gives_way(session& from, bool is_proven);
  void refuse(session& x, const failure& why);
  void join(session& x, node_id id);
  void on_heartbeat(session& from, const frame& x);
  void send_heartbeat(session& to, bool is_question);
  void watch(clock::instant now);
  void watch_meeting(session& x, clock::instant now);
  void watch_joined(session& x, clock::instant now);
  size_t num_pending() const;
  /// When watch() has something to do next.
  clock::instant next_watch(clock::instant now) const;

  ucx_options options_;
  const ucx_environment environment_;
  const admission admit_;
  const transport_handler handler_;
  frame_gate gate_;
  handshake_options hello_;
  std::unique_ptr<ucx_worker> worker_;

  // Shared with senders.
  ucx_mailbox mailbox_;
  std::atomic<uint32_t> self_id_;
  mutable std::shared_mutex peers_mutex_; ///< For peers_.
  std::map<node_id, std::shared_ptr<ucx_peer>> peers_;
  std::atomic<size_t> max_unsent_;
  std::atomic<bool> is_stopping_ = false;
  std::atomic<uint64_t> bytes_sent_ = 0;

  // The I/O thread's own.
  std::unordered_map<ucp_ep_h, session_ptr> sessions_;
  std::map<node_id, session_ptr> joined_;
  std::vector<session_ptr> congested_; ///< With frames that wait.
  std::vector<session_ptr> over_;
  std::vector<std::shared_ptr<ucx_link>> closing_;
  clock::instant last_round_ = {};
  bool has_traffic_ = false; ///< More than signs of life since the last round.
  kernels::crowd others_;    ///< Who else wants the cores.
  std::thread thread_;       ///< Last: it uses all of the above.
};

} // namespace troupe
