#include "runtime/transport/loopback.hpp"

#include "runtime/meeting/meeting_rules.hpp"
#include "runtime/transport/block_pool.hpp"
#include "runtime/transport/frame_fence.hpp"
#include "runtime/transport/frame_gate.hpp"

#include <deque>

namespace troupe {

using decision = meeting_rules::decision;
using course = meeting_rules::course;

// -- one node -----------------------------------------------------------------

class loopback_node {
public:
  loopback_node(loopback_network& net, node_id id, node_identity identity,
                transport_handler handler)
    : net_(net), id_(id), identity_(std::move(identity)),
      handler_(std::move(handler)),
      gate_(cluster_hash(net.options_.cluster), identity_.incarnation,
            [this](uint64_t x) { return is_over(x); }),
      max_unsent_(net.options_.max_unsent), rules_(identity_.incarnation),
      events_(pooled_allocator<event>{std::make_shared<block_pool>(max_idle)}) {
  }

  void send(node_id to, frame_header header, body payload) {
    auto destination = to == id_ ? identity_.incarnation
                                 : gate_.incarnation_of(to);
    auto peer = destination == 0 ? nullptr : net_.find(destination);
    if (!peer || is_closed() || !is_meant(header, destination))
      return;
    auto size = payload.bytes().size();
    CHECK(size <= UINT32_MAX);
    gate_.stamp(header, destination, size);
    if (to == id_)
      return deliver(id_, {header, std::move(payload)});
    bytes_sent_ += frame_header::size + size;
    if (!peer->post_from(
          gate_, {.what = {header, std::move(payload)}, .is_frame = true},
          max_unsent_))
      part(*peer, "did not take what was sent to it",
           "we did not take what was sent to us");
  }

  node_id id() const {
    return id_;
  }

  const node_identity& identity() const {
    return identity_;
  }

  /// Asks the rules.
  template <class Fn>
  decision decide(Fn fn) {
    std::lock_guard guard{meeting_};
    return fn(rules_);
  }

  /// Both know each other from now on, and will say so after everything that
  /// came before. No frame of one comes to the other before both do, even if
  /// other threads deliver already: what one says at once is for somebody who
  /// knows where it comes from.
  static void introduce(line_id line, loopback_node& a, loopback_node& b) {
    a.note_line(line, b);
    b.note_line(line, a);
    bool a_waits = false, b_waits = false;
    {
      std::scoped_lock guard{a.mutex_, b.mutex_};
      a_waits = a.add(b);
      b_waits = b.add(a);
    }
    if (a_waits)
      a.deliver_all();
    if (b_waits)
      b.deliver_all();
  }

  /// A dial has come to nothing.
  void fail(line_id line, const loopback_node& peer, const std::string& why) {
    {
      std::lock_guard guard{meeting_};
      rules_.ended(line, false);
    }
    failure cause{errc::refused,
                  "cannot join node " + peer.identity_.name + ": " + why};
    post({.call = [this, id = peer.id_, cause] {
      if (handler_.on_connect_failed)
        handler_.on_connect_failed(id, cause);
    }});
  }

  /// Frames of the peer that wait are refused as stale when their turn comes.
  /// Returns whether it was connected.
  bool lose(node_id peer, uint64_t incarnation, const std::string& why) {
    {
      std::lock_guard guard{meeting_};
      auto i = lines_.find(incarnation);
      if (i == lines_.end())
        return false;
      rules_.ended(i->second, true);
      lines_.erase(i);
    }
    gate_.remove_peer(peer, incarnation);
    post({.call = [this, peer, incarnation, why] {
      if (handler_.on_peer_lost)
        handler_.on_peer_lost(peer, incarnation, why);
    }});
    return true;
  }

  void part(loopback_node& peer, const std::string& why,
            const std::string& for_it) {
    if (lose(peer.id_, peer.identity_.incarnation,
             "node " + peer.identity_.name + " " + why))
      peer.lose(id_, identity_.incarnation,
                "node " + identity_.name + " gave us up: " + for_it);
  }

  void disconnect(node_id to, uint64_t incarnation, const std::string& why) {
    if (auto peer = net_.find(incarnation); peer && peer->id_ == to)
      part(*peer, "was given up: " + why, why);
  }

  /// Delivers what waits, by whoever keeps others from it.
  void deliver_all() {
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
    if (!decoded) {
      if (gate_.judge_damaged(header))
        give_up(source_of(header.first<frame_header::size>()),
                frame_was_damaged);
      return;
    }
    post({.what = {*decoded, std::move(payload)}, .is_frame = true});
  }

  transport_stats stats() const {
    auto x = gate_.stats();
    x.bytes_sent = bytes_sent_;
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

  void note_line(line_id line, const loopback_node& peer) {
    std::lock_guard guard{meeting_};
    lines_[peer.identity_.incarnation] = line;
  }

  /// With mutex_ held. Returns whether deliver_all() has to follow.
  bool add(const loopback_node& peer) {
    CHECK(gate_.add_peer(peer.id_, peer.identity_.incarnation));
    return push({.call = [this, id = peer.id_, who = peer.identity_] {
      if (handler_.on_peer_joined)
        handler_.on_peer_joined(id, who);
    }});
  }

  void post(event x) {
    std::unique_lock guard{mutex_};
    if (push(std::move(x)))
      drain(guard);
  }

  /// A frame, in the order of its number. Returns whether there was room, that
  /// is `limit` bytes for what waits.
  bool post_from(frame_gate& sender, event x, size_t limit) {
    std::unique_lock guard{mutex_};
    if (!closed_ && waiting_ + size_of(x) > limit)
      return false;
    auto is_connected = gate_.find(sender.incarnation())
                        && sender.number(x.what.header);
    if (is_connected && push(std::move(x)))
      drain(guard);
    return true;
  }

  /// With mutex_ held. Returns whether nobody delivers: the caller has to.
  bool push(event x) {
    if (closed_)
      return false;
    waiting_ += size_of(x);
    events_.push_back(std::move(x));
    return !std::exchange(busy_, true);
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

  bool is_over(uint64_t incarnation) const {
    std::lock_guard guard{meeting_};
    return rules_.is_over(incarnation);
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
    if (auto from = std::get_if<node_id>(&verdict))
      deliver(*from, std::move(x));
    else if (std::get<refusal>(verdict) == refusal::ahead)
      give_up(x.header.source, frame_was_lost);
  }

  void deliver(node_id from, frame&& x) {
    if (handler_.on_frame)
      handler_.on_frame(from, std::move(x));
  }

  /// By our own verdict on what has come from it.
  void give_up(uint64_t incarnation, const std::string& why) {
    if (auto peer = net_.find(incarnation))
      part(*peer, why, identity_.name + " says that this node " + why);
  }

  loopback_network& net_;
  const node_id id_;
  const node_identity identity_;
  const transport_handler handler_;
  frame_gate gate_;
  std::atomic<size_t> max_unsent_;
  std::atomic<uint64_t> bytes_sent_ = 0;
  mutable std::mutex meeting_; ///< For the two below.
  meeting_rules rules_;
  std::map<uint64_t, line_id> lines_; ///< To whom we know; by incarnation.
  mutable std::mutex
    mutex_; ///< For the four below; never held while a handler runs.
  std::deque<event, pooled_allocator<event>> events_;
  size_t waiting_ = 0; ///< Bytes in events_.
  bool busy_ = true;   ///< A thread delivers, or deliver_all() is to come.
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

  void disconnect(node_id peer, uint64_t incarnation,
                  const std::string& why) override {
    node_->disconnect(peer, incarnation, why);
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
  auto node = std::make_shared<loopback_node>(*this, id, std::move(identity),
                                              std::move(handler));
  auto& who = node->identity();
  auto others = all();
  {
    std::lock_guard guard{mutex_};
    CHECK(nodes_.emplace(who.incarnation, node).second);
  }
  for (auto& other : others)
    if (other->id() != id)
      meet(*node, *other);
  node->deliver_all();
  auto end = [this, who, raw = node.get()] {
    if (find(who.incarnation).get() == raw)
      leave(who.incarnation, "node " + who.name + " has ended");
  };
  return std::make_unique<loopback_transport>(std::move(node), end);
}

void loopback_network::connect(node_id from, node_id to) {
  for (auto& a : all(from))
    for (auto& b : all(to))
      meet(*a, *b);
}

/// As two processes do at their doors.
void loopback_network::meet(loopback_node& from, loopback_node& to) {
  auto line = ++last_line_;
  auto ours = from.decide(
    [&](auto& rules) { return rules.met(line, to.id(), to.identity()); });
  if (ours.what == course::refuse)
    return from.fail(line, to, ours.why);
  if (ours.what == course::drop)
    return; // They know each other.
  auto theirs = to.decide([&](auto& rules) {
    return rules.proven(line, from.id(), from.identity());
  });
  if (theirs.what == course::refuse)
    return from.fail(line, to, "the other side refused us: " + theirs.why);
  ours = from.decide([&](auto& rules) { return rules.welcomed(line); });
  CHECK(theirs.what == course::take && ours.what == course::take);
  loopback_node::introduce(line, from, to);
}

void loopback_network::kill(node_id id) {
  for (auto& x : all(id))
    leave(x->identity().incarnation,
          "node " + std::to_string(id) + " was killed");
}

void loopback_network::inject(node_id to, std::span<const std::byte> header,
                              body payload) {
  for (auto& x : all(to))
    x->inject(header, payload);
}

loopback_network::node_ptr loopback_network::find(uint64_t incarnation) const {
  std::lock_guard guard{mutex_};
  auto i = nodes_.find(incarnation);
  return i == nodes_.end() ? nullptr : i->second;
}

std::vector<loopback_network::node_ptr> loopback_network::all() const {
  std::lock_guard guard{mutex_};
  std::vector<node_ptr> out;
  for (auto& [incarnation, x] : nodes_)
    out.push_back(x);
  return out;
}

std::vector<loopback_network::node_ptr>
loopback_network::all(node_id id) const {
  auto out = all();
  std::erase_if(out, [=](auto& x) { return x->id() != id; });
  return out;
}

void loopback_network::leave(uint64_t incarnation, const std::string& why) {
  auto gone = find(incarnation);
  if (!gone)
    return;
  gone->close();
  {
    std::lock_guard guard{mutex_};
    nodes_.erase(incarnation);
  }
  for (auto& other : all())
    other->lose(gone->id(), incarnation, why);
}

} // namespace troupe
