#pragma once

/// The I/O thread of a ucx_transport and all that lives on it. Meetings happen
/// at the door (runtime/meeting), on a thread of its own; what it tells is
/// carried here by the mailbox. A session begins once the two processes have
/// proven themselves, and carries frames once each has had one of the other:
///
///    proven, or welcomed --hello--> joined --silence, error, end of line-->
///    gone
///            \---deadline, error------------------------------------------>
///            gone
///
/// Whom we give up is left: it is gone for our owner at once, hears why on its
/// line, and is over once it has closed that, or after a moment.
///
/// Who dialled sends the first hello; the other answers it.
///
/// A session ends only between two calls of progress(): end() notes it, bury()
/// does it, because UCX's callbacks must not close an endpoint.

#include "kernels/host/crowd.hpp"
#include "runtime/meeting/doorman.hpp"
#include "runtime/meeting/peer_watch.hpp"
#include "runtime/transport/frame_gate.hpp"
#include "runtime/transport/port_filter.hpp"
#include "runtime/transport/ucx_mailbox.hpp"
#include "runtime/transport/ucx_peers.hpp"
#include "runtime/transport/ucx_sessions.hpp"
#include "runtime/transport/ucx_transport.hpp"
#include "runtime/transport/ucx_worker.hpp"

#include <thread>

namespace troupe {

class ucx_io final : ucx_link::owner {
public:
  ucx_io(ucx_options options, ucx_environment environment, admission admit,
         transport_handler handler);
  ~ucx_io();

  /// Listens and starts the threads.
  result<void> start();

  // -- for any thread ---------------------------------------------------------

  const node_identity& self() const {
    return options_.self;
  }

  void set_self(node_id id);
  void set_max_unsent(size_t bytes);
  void set_view(uint32_t view);
  void connect(node_id peer, dial_target target);
  void monitor(node_id peer);
  void send(node_id to, frame_header header, body payload);
  void disconnect(node_id peer, uint64_t incarnation, const std::string& why);
  transport_stats stats() const;

private:
  // -- the loop ---------------------------------------------------------------
  void run();
  void pause(clock::instant last_busy);
  bool is_sending();
  template <class F>
  void post(F f) {
    mailbox_.push(std::move(f));
    worker_->wake();
  }

  void watch(clock::instant now);
  bool is_due(clock::instant now) const;
  clock::instant next_watch(clock::instant now) const;
  void close_all();

  // -- frames -----------------------------------------------------------------
  ucs_status_t on_am(std::span<const std::byte> header, void* data,
                     size_t length, bool is_rendezvous);
  void on_first_frame(const session_ptr& from, const header_bytes& x);
  void on_message(ucx_link& from, const header_bytes& header,
                  body payload) override;
  void on_failure(ucx_link& which, ucs_status_t why) override;
  void on_joined_frame(ucx_session& from, frame&& x);
  void on_damaged(ucx_session& from, const header_bytes& x);
  void on_hello(const session_ptr& from);
  /// Bytes that a peer may have announced: several times what its windows let
  /// it have under way, since what has come may wait for its turn.
  size_t most_expected() const;
  void send_own(ucx_session& to, frame_class kind, uint64_t id);
  void offer(ucx_session& to, ucx_session::parcel x);
  void deliver_to_self(frame_header header, body payload);

  // -- sessions ---------------------------------------------------------------
  doorman::owner make_owner(admission admit);
  void open(const acquaintance& x, node_id id, bool is_ours,
            std::chrono::milliseconds deadline);
  bool link_up(const session_ptr& x);
  void join(const session_ptr& x);
  void give_up(ucx_session& x, const std::string& why);
  void leave(ucx_session& x, const std::string& why, const std::string& for_it);
  void bury();
  void part(const session_ptr& x);
  void lose(const ucx_session& x, const std::string& why);

  ucx_options options_;
  const ucx_environment environment_;
  const transport_handler handler_;
  frame_gate gate_;
  const std::shared_ptr<block_pool> pool_; ///< Bodies may outlive us.
  std::unique_ptr<ucx_worker> worker_;

  // Shared with senders.
  ucx_mailbox mailbox_;
  std::atomic<uint32_t> self_id_;
  ucx_peers peers_;
  std::atomic<size_t> max_unsent_;
  std::atomic<bool> is_stopping_ = false;
  std::atomic<uint64_t> bytes_sent_ = 0;

  // The I/O thread's own.
  peer_watch watch_;
  ucx_sessions sessions_;
  clock::instant last_watch_ = {};
  bool has_traffic_ = false; ///< More than signs of life since the last round.
  kernels::crowd others_;    ///< Who else wants the cores.
  std::unique_ptr<doorman> doorman_;
  std::thread thread_; ///< Last: it uses all of the above.
};

} // namespace troupe
