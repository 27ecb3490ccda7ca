#include "runtime/transport/loopback.hpp"

#include "runtime/transport/block_pool.hpp"
#include "runtime/transport/frame_gate.hpp"

#include <deque>

namespace troupe {

// -- one node -----------------------------------------------------------------

class loopback_node {
public:
  loopback_node(loopback_network& net, node_id id, node_identity identity,
                transport_handler handler)
    : net_(net), id_(id), identity_(std::move(identity)),
      handler_(std::move(handler)),
      gate_(cluster_hash(net.options_.cluster), identity_.incarnation),
      max_unsent_(net.options_.max_unsent),
      events_(pooled_allocator<event>{std::make_shared<block_pool>(max_idle)}) {
    CHECK(gate_.add_peer(id_, identity_.incarnation));
  }

  void send(node_id to, frame_header header, body payload) {
    auto destination = gate_.incarnation_of(to);
    auto peer = destination == 0 ? nullptr : net_.find(to);
    if (!peer || is_closed())
      return;
    auto size = payload.bytes().size();
    CHECK(size <= UINT32_MAX);
    gate_.stamp(header, destination, size);
    if (to == id_)
      return accept({header, std::move(payload)});
    bytes_sent_ += frame_header::size + size;
    if (!peer->post({.what = {header, std::move(payload)}, .is_frame = true},
                    max_unsent_))
      part(*peer, "node " + peer->identity_.name
                    + " did not take what was sent to it");
  }

  /// Learns of `peer`, after everything that came before.
  void meet(loopback_node& peer) {
    if (!gate_.add_peer(peer.id_, peer.identity_.incarnation))
      return;
    post({.call = [this, id = peer.id_, who = peer.identity_] {
      if (handler_.on_peer_joined)
        handler_.on_peer_joined(id, who);
    }});
  }

  /// Frames of `peer` that wait are refused as stale when their turn comes.
  void lose(node_id peer, const std::string& why) {
    if (!gate_.remove_peer(peer))
      return;
    post({.call = [this, peer, why] {
      if (handler_.on_peer_lost)
        handler_.on_peer_lost(peer, why);
    }});
  }

  void part(loopback_node& peer, const std::string& why) {
    lose(peer.id_, why);
    peer.lose(id_, "node " + identity_.name + " gave us up");
  }

  void disconnect(node_id to) {
    gate_.remove_peer(to);
    if (auto peer = net_.find(to); peer && to != id_)
      peer->lose(id_, "node " + identity_.name + " disconnected");
  }

  /// Delivers what has waited since the node was made.
  void start() {
    std::unique_lock guard{mutex_};
    drain(guard);
  }

  /// After this nothing is delivered but what is being delivered now.
  void close() {
    std::lock_guard guard{mutex_};
    closed_ = true;
    events_.clear();
    waiting_ = 0;
  }

  void inject(std::span<const std::byte> header, body payload) {
    auto decoded = decode_header(header, payload.bytes(), {});
    if (!decoded)
      return gate_.count(refusal::damaged);
    post({.what = {*decoded, std::move(payload)}, .is_frame = true});
  }

  transport_stats stats() const {
    transport_stats x{.bytes_sent = bytes_sent_};
    for (size_t i = 0; i < size_t(refusal::num_refusals); ++i)
      x.frames_refused[i] = gate_.refused(refusal(i));
    return x;
  }

  void set_view(uint32_t view) {
    gate_.set_view(view);
  }

  void set_max_unsent(size_t bytes) {
    max_unsent_ = bytes;
  }

private:
  struct event {
    frame what = {};
    bool is_frame = false;
    std::function<void()> call = {};
  };

  /// Bytes of what waits that are kept for what waits later.
  static constexpr size_t max_idle = size_t{1} << 20;

  static size_t size_of(const event& x) {
    return x.is_frame ? frame_header::size + x.what.header.length : 0;
  }

  /// Returns whether there was room, that is `limit` bytes for what waits.
  bool post(event x, size_t limit = SIZE_MAX) {
    auto size = size_of(x);
    std::unique_lock guard{mutex_};
    if (closed_)
      return true;
    if (waiting_ + size > limit)
      return false;
    waiting_ += size;
    events_.push_back(std::move(x));
    if (busy_)
      return true;
    busy_ = true;
    drain(guard);
    return true;
  }

  void drain(std::unique_lock<std::mutex>& guard) {
    while (!events_.empty()) {
      auto next = std::move(events_.front());
      events_.pop_front();
      waiting_ -= size_of(next);
      guard.unlock();
      run(next);
      guard.lock();
    }
    busy_ = false;
  }

  bool is_closed() const {
    std::lock_guard guard{mutex_};
    return closed_;
  }

  void run(event& x) {
    if (!x.is_frame)
      return x.call();
    accept(std::move(x.what));
  }

  void accept(frame&& x) {
    auto verdict = gate_.judge(x.header);
    if (auto from = std::get_if<node_id>(&verdict); from && handler_.on_frame)
      handler_.on_frame(*from, std::move(x));
  }

  loopback_network& net_;
  const node_id id_;
  const node_identity identity_;
  const transport_handler handler_;
  frame_gate gate_;
  std::atomic<size_t> max_unsent_;
  std::atomic<uint64_t> bytes_sent_ = 0;
  mutable std::mutex
    mutex_; ///< For the four below; never held while a handler runs.
  std::deque<event, pooled_allocator<event>> events_;
  size_t waiting_ = 0; ///< Bytes in events_.
  bool busy_ = true;   ///< A thread delivers, or start() is yet to come.
  bool closed_ = false;
};

// -- its face -----------------------------------------------------------------

namespace {

class loopback_transport : public transport {
public:
  explicit loopback_transport(std::shared_ptr<loopback_node> node,
                              std::function<void()> leave)
    : node_(std::move(node)), leave_(std::move(leave)) {
  }

  ~loopback_transport() override {
    leave_();
  }

  void send(node_id to, frame_header header, body payload) override {
    node_->send(to, header, std::move(payload));
  }

  void set_max_unsent(size_t bytes) override {
    node_->set_max_unsent(bytes);
  }

  void set_view(uint32_t view) override {
    node_->set_view(view);
  }

  void disconnect(node_id peer) override {
    node_->disconnect(peer);
  }

  transport_stats stats() const override {
    return node_->stats();
  }

private:
  std::shared_ptr<loopback_node> node_;
  std::function<void()> leave_;
};

} // namespace

// -- the network --------------------------------------------------------------

loopback_network::loopback_network(loopback_options options)
  : options_(std::move(options)) {
}

std::unique_ptr<transport> loopback_network::join(node_id id,
                                                  node_identity identity,
                                                  transport_handler handler) {
  auto name = identity.name;
  auto node = std::make_shared<loopback_node>(*this, id, std::move(identity),
                                              std::move(handler));
  std::vector<node_ptr> others;
  {
    std::lock_guard guard{mutex_};
    for (auto& [other_id, other] : nodes_)
      others.push_back(other);
    CHECK(nodes_.emplace(id, node).second);
  }
  // The new one first: what the others send at once then waits for start().
  for (auto& other : others) {
    node->meet(*other);
    other->meet(*node);
  }
  node->start();
  auto leave = [this, id, name, raw = node.get()] {
    if (auto current = find(id); current.get() == raw)
      this->leave(id, "node " + name + " has ended");
  };
  return std::make_unique<loopback_transport>(std::move(node), leave);
}

void loopback_network::kill(node_id id) {
  leave(id, "node " + std::to_string(id) + " was killed");
}

void loopback_network::inject(node_id to, std::span<const std::byte> header,
                              body payload) {
  if (auto node = find(to))
    node->inject(header, std::move(payload));
}

loopback_network::node_ptr loopback_network::find(node_id id) const {
  std::lock_guard guard{mutex_};
  auto i = nodes_.find(id);
  return i == nodes_.end() ? nullptr : i->second;
}

void loopback_network::leave(node_id id, const std::string& why) {
  std::vector<node_ptr> others;
  {
    std::lock_guard guard{mutex_};
    auto i = nodes_.find(id);
    if (i == nodes_.end())
      return;
    i->second->close();
    nodes_.erase(i);
    for (auto& [other_id, other] : nodes_)
      others.push_back(other);
  }
  for (auto& other : others)
    other->lose(id, why);
}

} // namespace troupe
