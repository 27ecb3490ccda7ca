#include "runtime/sim/virtual_transport.hpp"

#include "runtime/sim/virtual_network.hpp"
#include "runtime/transport/frame_fence.hpp"

#include <cstring>

namespace troupe {

namespace {

using std::chrono::milliseconds;

// As the UCX transport has them.
constexpr double slowest_network = 10e6;
constexpr size_t overhead = 256; ///< Of a frame that waits.
constexpr milliseconds last_words{1};
constexpr milliseconds farewell_time{200};
constexpr uint64_t question = 0, answer = 1;

} // namespace

virtual_transport::virtual_transport(virtual_network& net, life_id life,
                                     node_identity self,
                                     std::optional<node_id> self_id,
                                     admission admit, transport_handler handler,
                                     const logger& log)
  : net_(net), world_(net.in()), life_(life), node_(world_.node_of(life)),
    options_(net.options().transports), self_(std::move(self)),
    self_id_(self_id), handler_(std::move(handler)), log_(log),
    gate_(cluster_hash(options_.cluster), self_.incarnation,
          [this](uint64_t x) { return doorman_.is_over(x); }),
    max_unsent_(options_.max_unsent),
    watch_(
      {options_.heartbeat_period, options_.silence_verdict, slowest_network}),
    doorman_(make_owner(std::move(admit)), self_.incarnation, log) {
  self_.listen = net.address_of(node_);
  door_options at;
  at.listen = self_.listen;
  at.deadline = options_.handshake_deadline;
  handshake_options who{options_.cluster, options_.secret, self_, true};
  auto made = std::make_unique<virtual_door>(
    world_, net_, life_, at, who, net_.chance(), doorman_.make_handler());
  door_ = made.get();
  doorman_.open(std::move(made), options_.handshake_deadline);
}

virtual_transport::~virtual_transport() {
  die();
}

void virtual_transport::die() {
  if (std::exchange(is_over_, true))
    return;
  world_.cancel(tick_);
  for (auto& [line, x] : sessions_) {
    world_.cancel(x->limit);
    world_.cancel(x->stall);
    x->out->close();
  }
  // The others see it on their lines.
  door_ = nullptr;
  doorman_.open(nullptr, {});
  net_.gone(*this, life_);
}

// -- what comes in ------------------------------------------------------------

void virtual_transport::receive(packet x) {
  if (is_over_)
    return;
  // Who sent it is not proven by this: the seal is checked next.
  auto source = source_of(x.header);
  auto from = by_incarnation_.find(source);
  if (from == by_incarnation_.end())
    return refuse(x.header, doorman_.is_over(source) ? refusal::stale
                                                     : refusal::unknown_peer);
  accept(session_ptr{from->second}, std::move(x));
}

void virtual_transport::accept(const session_ptr& from, packet x) {
  auto decoded = decode_header(x.header, x.payload.bytes(), from->seal);
  if (!decoded)
    return on_damaged(from, x);
  if (decoded->kind == frame_class::hello)
    return on_hello(from);
  if (!from->is_joined)
    return refuse(x.header, refusal::unknown_peer);
  note(trace_kind::frame_arrived, from->id, *decoded, x.header);
  on_joined_frame(from, {*decoded, std::move(x.payload)});
}

/// The transport promises each frame, or the end of its peer.
void virtual_transport::on_damaged(const session_ptr& from, const packet& x) {
  net_.count_damage(x);
  refuse(x.header, refusal::damaged);
  if (from->is_joined)
    give_up(*from, frame_was_damaged);
  else
    end(from, errc::peer_lost, frame_was_damaged);
}

void virtual_transport::on_joined_frame(const session_ptr& from, frame&& x) {
  auto verdict = gate_.judge(x.header);
  if (auto why = std::get_if<refusal>(&verdict)) {
    world_.record({.kind = trace_kind::frame_refused,
                   .node = node_,
                   .peer = from->id,
                   .frame = x.header.kind,
                   .a = x.header.id,
                   .b = uint64_t(*why)});
    if (*why == refusal::ahead)
      give_up(*from, frame_was_lost);
    return;
  }
  watch_.heard(from->id, from->who.incarnation);
  if (x.header.kind == frame_class::heartbeat) {
    if (x.header.id == question)
      send_own(*from, frame_class::heartbeat, answer);
    return;
  }
  if (handler_.on_frame)
    handler_.on_frame(std::get<node_id>(verdict), std::move(x));
}

/// The first frame of either side: the way there and back is open.
void virtual_transport::on_hello(const session_ptr& from) {
  if (from->is_joined)
    return gate_.count(refusal::repeated);
  world_.cancel(std::exchange(from->limit, 0));
  doorman_.joined(from->line);
  auto added = gate_.add_peer(from->id, from->who.incarnation);
  CHECK(added);
  if (joined_.size() <= from->id)
    joined_.resize(from->id + 1);
  CHECK(!joined_[from->id]);
  joined_[from->id] = from;
  from->is_joined = true;
  watch_.joined(from->id, from->who.incarnation);
  log_.info("node " + from->who.name + " has joined");
  world_.record({.kind = trace_kind::peer_joined,
                 .node = node_,
                 .peer = from->id,
                 .a = from->who.incarnation,
                 .b = self_.incarnation});
  if (!from->is_ours)
    send_own(*from, frame_class::hello, 0);
  if (handler_.on_peer_joined)
    handler_.on_peer_joined(from->id, from->who);
}

void virtual_transport::refuse(const header_bytes& x, refusal why) {
  gate_.count(why);
  world_.record({.kind = trace_kind::frame_refused,
                 .node = node_,
                 .frame = frame_class(x[5]), // after magic and version
                 .b = uint64_t(why)});
}

// -- what goes out ------------------------------------------------------------

void virtual_transport::send(node_id to, frame_header header, body payload) {
  if (is_over_)
    return;
  if (to == self_id_)
    return deliver_to_self(header, std::move(payload));
  auto peer = find(to);
  if (!peer || !is_meant(header, peer->who.incarnation))
    return;
  auto size = payload.bytes().size();
  CHECK(size <= options_.max_body);
  if (peer->out->num_unsent() + size + overhead > max_unsent_)
    return post([this, peer] {
      if (find(peer->id) == peer)
        give_up(*peer, "did not take what was sent to it");
    });
  transmit(*peer, header, std::move(payload));
  expect_stall(peer);
}

/// A frame that belongs to the transport itself.
void virtual_transport::send_own(session& to, frame_class kind, uint64_t id) {
  if (kind == frame_class::heartbeat
      && net_.link(node_, world_.node_of(to.life)).has_no_heartbeats())
    return;
  frame_header header;
  header.kind = kind;
  header.id = id;
  transmit(to, header, {});
}

/// Stamps and seals. What it covers may not change from here on.
void virtual_transport::transmit(session& to, frame_header header,
                                 body payload) {
  gate_.stamp(header, to.who.incarnation, payload.bytes().size());
  auto checksum = begin_checksum(header.kind, payload.bytes(), to.seal);
  virtual_channel::parcel x{header, checksum, std::move(payload)};
  bytes_sent_ += x.size();
  to.out->offer(std::move(x));
}

/// As it is handed to the network.
bool virtual_transport::seal(const session& to, virtual_channel::parcel& x) {
  if (!gate_.number(x.header))
    return false;
  x.bytes = encode_header(x.header, x.checksum);
  note(trace_kind::frame_sent, to.id, x.header, x.bytes);
  return true;
}

void virtual_transport::deliver_to_self(frame_header header, body payload) {
  gate_.stamp(header, gate_.incarnation(), payload.bytes().size());
  if (handler_.on_frame)
    handler_.on_frame(*self_id_, {header, std::move(payload)});
}

/// The checksum stands for all that it covers.
void virtual_transport::note(trace_kind kind, node_id peer,
                             const frame_header& header,
                             const header_bytes& bytes) {
  uint32_t checksum;
  std::memcpy(&checksum, &bytes[bytes.size() - sizeof checksum],
              sizeof checksum);
  world_.record({.kind = kind,
                 .node = node_,
                 .peer = peer,
                 .frame = header.kind,
                 .a = header.id,
                 .b = trace_frame(checksum, header.length)});
}

// -- the owner's other wishes -------------------------------------------------

void virtual_transport::set_self(node_id id) {
  CHECK(!self_id_ || self_id_ == id);
  self_id_ = id;
}

void virtual_transport::set_max_unsent(size_t bytes) {
  max_unsent_ = bytes;
}

void virtual_transport::set_view(uint32_t view) {
  gate_.set_view(view);
}

void virtual_transport::connect(node_id peer, dial_target target) {
  post(
    [this, peer, target = std::move(target)] { doorman_.dial(peer, target); });
}

void virtual_transport::monitor(node_id peer) {
  post([this, peer] {
    watch_.monitor(peer);
    expect_tick();
  });
}

void virtual_transport::disconnect(node_id peer, uint64_t incarnation,
                                   const std::string& why) {
  auto x = is_over_ ? nullptr : find(peer);
  if (!x || x->who.incarnation != incarnation)
    return;
  joined_[peer] = nullptr; // Nothing is sent to it from here on.
  post([this, x, why] { leave(*x, "was given up: " + why, why); });
}

transport_stats virtual_transport::stats() const {
  auto out = gate_.stats();
  out.bytes_sent = bytes_sent_;
  out.strangers_dropped = is_over_ ? 0 : doorman_.stats().dropped;
  return out;
}

// -- sessions -----------------------------------------------------------------

doorman::owner virtual_transport::make_owner(admission admit) {
  doorman::owner out;
  out.post = [this](auto f) { post(std::move(f)); };
  out.admit = std::move(admit);
  out.open = [this](auto& x, node_id id, bool is_ours, milliseconds deadline) {
    open(x, id, is_ours, deadline);
  };
  out.connect_failed = handler_.on_connect_failed;
  out.line_ended = [this](line_id line, const std::string& why) {
    on_line_ended(line, why);
  };
  return out;
}

void virtual_transport::open(const acquaintance& x, node_id id, bool is_ours,
                             milliseconds deadline) {
  auto made = std::make_shared<session>();
  made->id = id;
  made->who = x.who;
  made->life = net_.life_of(x.who.incarnation);
  made->line = x.line;
  made->is_ours = is_ours;
  made->seal = {x.frame_tag, x.checksum_bodies};
  made->out
    = &net_.connect(life_, made->life,
                    [this, to = made.get()](auto& y) { return seal(*to, y); });
  CHECK(sessions_.emplace(x.line, made).second);
  CHECK(by_incarnation_.emplace(x.who.incarnation, made).second);
  limit(made, deadline, errc::deadline_passed, "did not answer in time");
  if (is_ours)
    send_own(*made, frame_class::hello, 0);
}

void virtual_transport::on_line_ended(line_id line, const std::string& why) {
  // What came before that is still read.
  if (auto x = find_line(line)) {
    x->why_line_ended = why;
    limit(x, last_words, errc::peer_lost, why);
  }
}

/// By our own verdict; the other side may well live.
void virtual_transport::give_up(session& x, const std::string& why) {
  leave(x, why, self_.name + " says that this node " + why);
}

/// Its place is free at once, but frames under way go on until the other side
/// has heard why.
void virtual_transport::leave(session& x, const std::string& why,
                              const std::string& for_it) {
  auto self = find_line(x.line);
  if (!self || std::exchange(x.is_left, true))
    return;
  doorman_.give_up(x.line, for_it);
  limit(self, farewell_time, errc::peer_lost, why);
  lose(x, why);
}

/// Also for those who were left before.
void virtual_transport::end(const session_ptr& x, errc code,
                            const std::string& why) {
  world_.cancel(x->limit);
  world_.cancel(x->stall);
  if (sessions_.erase(x->line) == 0)
    return;
  by_incarnation_.erase(x->who.incarnation);
  x->out->close();
  doorman_.ended(x->line, x->is_joined,
                 {code, "node " + x->who.name + " " + why});
  if (x->is_joined && !std::exchange(x->is_left, true))
    lose(*x, why);
}

/// Nothing is sent to it or taken from it any more, nor is it judged.
void virtual_transport::lose(session& x, const std::string& why) {
  if (auto i = find(x.id); i.get() == &x)
    joined_[x.id] = nullptr;
  watch_.gone(x.id, x.who.incarnation);
  gate_.remove_peer(x.id, x.who.incarnation);
  auto sentence = "node " + x.who.name + " " + why;
  log_.debug(sentence);
  world_.record({.kind = trace_kind::peer_lost,
                 .node = node_,
                 .peer = x.id,
                 .a = x.who.incarnation,
                 .b = self_.incarnation});
  if (handler_.on_peer_lost)
    handler_.on_peer_lost(x.id, x.who.incarnation, sentence);
}

bool virtual_transport::reset(life_id other) {
  for (auto& [line, x] : sessions_)
    if (x->life == other && x->why_line_ended.empty() && !is_over_) {
      door_->reset(line);
      return true;
    }
  return false;
}

virtual_transport::session_ptr virtual_transport::find(node_id joined) const {
  return joined < joined_.size() ? joined_[joined] : nullptr;
}

virtual_transport::session_ptr
virtual_transport::find_line(line_id line) const {
  auto i = sessions_.find(line);
  return i == sessions_.end() ? nullptr : i->second;
}

void virtual_transport::limit(const session_ptr& x, virtual_duration time,
                              errc code, std::string why) {
  world_.cancel(x->limit);
  x->limit
    = at_local(world_.clock_of(life_).now() + time,
               [this, x, code, why = std::move(why)] { end(x, code, why); });
}

// -- time ---------------------------------------------------------------------

event_id virtual_transport::at_local(clock::instant when, job what) {
  return world_.at(life_, world_.clock_of(life_).to_world(when),
                   std::move(what));
}

/// As an event of its own, unless there is no more of this transport by then.
void virtual_transport::post(job what) {
  if (is_over_)
    return;
  world_.after(life_, {},
               [&net = net_, life = life_, what = std::move(what)]() mutable {
                 if (net.find(life))
                   what();
               });
}

void virtual_transport::expect_tick() {
  auto next = watch_.next_tick();
  if (next && tick_ == 0)
    tick_ = at_local(*next, [this] {
      tick_ = 0;
      tick();
    });
}

void virtual_transport::tick() {
  for (auto& x : joined_)
    if (x)
      watch_.set_under_way(x->id, x->out->num_under_way()
                                    + net_.num_under_way(x->life, life_));
  auto news = watch_.tick(world_.clock_of(life_).now());
  expect_tick();
  for (auto& verdict : news.dead)
    if (auto x = find(verdict.peer);
        x && x->who.incarnation == verdict.incarnation)
      give_up(*x, verdict.why);
  for (auto& asked : news.ask)
    if (auto x = find(asked.peer); x && x->who.incarnation == asked.incarnation)
      send_own(*x, frame_class::heartbeat, question);
}

/// A peer that takes nothing is lost, also if nobody watches it.
void virtual_transport::expect_stall(const session_ptr& x) {
  auto since = x->out->stalled_since();
  if (since && x->stall == 0)
    x->stall = world_.at(life_, *since + options_.stall_verdict, [this, x] {
      x->stall = 0;
      check_stall(x);
    });
}

void virtual_transport::check_stall(const session_ptr& x) {
  auto since = x->out->stalled_since();
  if (since && *since + options_.stall_verdict <= world_.now())
    return give_up(*x, "took nothing of what was sent to it for "
                         + in_seconds(options_.stall_verdict));
  expect_stall(x);
}

} // namespace troupe
