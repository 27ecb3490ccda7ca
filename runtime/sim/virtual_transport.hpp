#pragma once

/// The transport of one life in a virtual world. Does what the UCX transport
/// does, with the same gate, rules, watch and meetings; only links are virtual.
/// Its owner is called in events of the life alone, but for frames to itself.
///
/// Made by virtual_network, which outlives it. Once the life is over nothing
/// goes out and nothing comes.

#include "runtime/meeting/doorman.hpp"
#include "runtime/meeting/peer_watch.hpp"
#include "runtime/sim/virtual_channel.hpp"
#include "runtime/sim/virtual_door.hpp"
#include "runtime/transport/frame_gate.hpp"

#include <unordered_map>

namespace troupe {

class virtual_network;

/// As in ucx_options.
struct virtual_transport_options {
  std::string cluster = "virtual";
  std::string secret = "virtual";
  std::chrono::milliseconds heartbeat_period{100};
  std::chrono::milliseconds silence_verdict{1000};
  std::chrono::milliseconds handshake_deadline{5000};
  std::chrono::milliseconds stall_verdict{30000};
  size_t max_body = size_t{32} << 20;
  size_t max_unsent = size_t{256} << 20;
};

class virtual_transport final : public transport {
public:
  virtual_transport(virtual_network& net, life_id life, node_identity self,
                    std::optional<node_id> self_id, admission admit,
                    transport_handler handler, const logger& log);

  /// As the end of the process for all others; no handler is called any more.
  ~virtual_transport() override;

  const node_identity& self() const {
    return self_;
  }

  /// Tells which node we are, once.
  void set_self(node_id id);

  /// Connects to the process that is meant, which will be `peer` here. Ends in
  /// on_peer_joined or on_connect_failed.
  void connect(node_id peer, dial_target target);

  /// Watches a joined peer from now on.
  void monitor(node_id peer);

  void send(node_id to, frame_header header, body payload) override;
  void set_max_unsent(size_t bytes) override;
  void set_view(uint32_t view) override;
  void disconnect(node_id peer, uint64_t incarnation,
                  const std::string& why) override;
  transport_stats stats() const override;

  // -- for the network --------------------------------------------------------

  /// Null once the life is over.
  virtual_door* door() {
    return door_;
  }

  /// A frame has come from somewhere.
  void receive(packet x);

  /// Its process is no more.
  void die();

  /// A fault: the connection to that life breaks. Returns whether there was
  /// one.
  bool reset(life_id other);

private:
  using header_bytes = std::array<std::byte, frame_header::size>;

  /// One peer, from the moment when both sides agree.
  struct session {
    node_id id = 0;
    node_identity who;
    life_id life = no_life;
    line_id line = 0;
    bool is_ours = false; ///< We dialled.
    frame_seal seal;
    virtual_channel* out = nullptr; ///< Of the network's.
    bool is_joined = false;
    bool is_left = false; ///< Given up by us; it has a moment to hear why.
    std::string why_line_ended = {}; ///< Empty: it has not.
    event_id limit = 0;              ///< It joins until then, or hears.
    event_id stall = 0;              ///< When it is next asked.
  };

  using session_ptr = std::shared_ptr<session>;

  // -- frames -----------------------------------------------------------------
  void accept(const session_ptr& from, packet x);
  void on_joined_frame(const session_ptr& from, frame&& x);
  void on_hello(const session_ptr& from);
  void on_damaged(const session_ptr& from, const packet& x);
  void refuse(const header_bytes& x, refusal why);
  void send_own(session& to, frame_class kind, uint64_t id);
  void transmit(session& to, frame_header header, body payload);
  void deliver_to_self(frame_header header, body payload);
  bool seal(const session& to, virtual_channel::parcel& x);
  void note(trace_kind kind, node_id peer, const frame_header& header,
            const header_bytes& bytes);

  // -- sessions ---------------------------------------------------------------
  doorman::owner make_owner(admission admit);
  void open(const acquaintance& x, node_id id, bool is_ours,
            std::chrono::milliseconds deadline);
  void on_line_ended(line_id line, const std::string& why);
  void give_up(session& x, const std::string& why);
  void leave(session& x, const std::string& why, const std::string& for_it);
  void end(const session_ptr& x, errc code, const std::string& why);
  void lose(session& x, const std::string& why);
  session_ptr find(node_id joined) const;
  session_ptr find_line(line_id line) const;
  void limit(const session_ptr& x, virtual_duration time, errc code,
             std::string why);

  // -- time -------------------------------------------------------------------
  event_id at_local(clock::instant when, job what);
  void post(job what);
  void tick();
  void expect_tick();
  void expect_stall(const session_ptr& x);
  void check_stall(const session_ptr& x);

  virtual_network& net_;
  world& world_;
  const life_id life_;
  const node_id node_;
  const virtual_transport_options& options_;
  node_identity self_;
  std::optional<node_id> self_id_;
  const transport_handler handler_;
  const logger& log_;
  frame_gate gate_;
  size_t max_unsent_;
  uint64_t bytes_sent_ = 0;
  peer_watch watch_;
  event_id tick_ = 0;
  std::map<line_id, session_ptr> sessions_;
  std::unordered_map<uint64_t, session_ptr> by_incarnation_;
  std::vector<session_ptr> joined_; ///< By node; null where there is none.
  doorman doorman_;
  virtual_door* door_ = nullptr; ///< The doorman's.
  bool is_over_ = false;
};

} // namespace troupe
