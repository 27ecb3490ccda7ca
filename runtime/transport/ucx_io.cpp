#include "runtime/transport/ucx_io.hpp"

#include "runtime/transport/frame_fence.hpp"

#include <sched.h>

#include <algorithm>
#include <cstring>

namespace troupe {

using std::chrono::microseconds;
using std::chrono::milliseconds;

namespace {

constexpr uint32_t no_id = 0xffffffff;

/// How long the thread looks for work before it sleeps: shorter and every
/// answer pays a wake-up, longer and idle processes cost time.
constexpr microseconds spin{50};

/// While sends are under way it looks for longer and sleeps for less: not every
/// transport of UCX ends a sleep when a send can go on.
constexpr microseconds sending_spin{1000};
constexpr milliseconds sending_sleep{1};

constexpr milliseconds longest_sleep{500};

/// Bytes per second that a network carries at least: while so much is under
/// way, heartbeats wait behind it, and a peer is given the time that it takes.
constexpr double slowest_network = 10e6;

/// What a queued frame costs beside its bytes.
constexpr size_t overhead = 256;

/// In the id of a heartbeat: who asks and who answers.
constexpr uint64_t question = 0, answer = 1;

} // namespace

ucx_io::ucx_io(ucx_options options, ucx_environment environment,
               admission admit, transport_handler handler)
  : options_(std::move(options)), environment_(environment),
    handler_(std::move(handler)),
    gate_(cluster_hash(options_.cluster), options_.self.incarnation,
          [this](uint64_t x) { return doorman_->is_over(x); }),
    pool_(std::make_shared<block_pool>(options_.max_idle)), mailbox_(pool_),
    self_id_(options_.self_id ? *options_.self_id : no_id),
    max_unsent_(options_.max_unsent),
    watch_(
      {options_.heartbeat_period, options_.silence_verdict, slowest_network}),
    doorman_(std::make_unique<doorman>(make_owner(std::move(admit)),
                                       options_.self.incarnation,
                                       environment_.log)) {
}

ucx_io::~ucx_io() {
  is_stopping_ = true;
  if (!thread_.joinable())
    return;
  worker_->wake();
  thread_.join();
  doorman_
    .reset(); // No more of its news; the worker is still there to be woken.
}

result<void> ucx_io::start() {
  auto worker = ucx_worker::open(
    options_.listen, [this](std::span<const std::byte> header, void* data,
                            size_t length, bool is_rendezvous) {
      return on_am(header, data, length, is_rendezvous);
    });
  if (!worker)
    return worker.why();
  worker_ = std::move(*worker);
  handshake_options who{options_.cluster, options_.secret, options_.self,
                        options_.checksum_bodies, worker_->data_address()};
  auto address = doorman_->open({options_.listen, options_.tls,
                                 options_.handshake_deadline,
                                 options_.max_pending_handshakes},
                                who, environment_.chance);
  if (!address)
    return address.why();
  options_.self.listen = *address;
  thread_ = std::thread{[this] { run(); }};
  return {};
}

// -- the loop -----------------------------------------------------------------

void ucx_io::run() {
  auto last_busy = last_watch_ = environment_.time.now();
  while (!is_stopping_) {
    auto busy = mailbox_.run_all();
    busy |= worker_->progress();
    busy |= sessions_.pump();
    auto now = environment_.time.now();
    // Busy or not: who is silent is judged after what has come was read.
    if (!busy || is_due(now))
      watch(now);
    bury();
    if (!busy)
      pause(last_busy);
    else if (std::exchange(has_traffic_, false) || is_sending())
      last_busy = now; // signs of life alone are not worth to stay awake for
  }
  close_all();
}

bool ucx_io::is_sending() {
  return sessions_.is_closing()
         || std::ranges::any_of(sessions_.all(), [](auto& x) {
              return x.second->is_sending() || x.second->is_ending();
            });
}

void ucx_io::pause(clock::instant last_busy) {
  auto sending = is_sending();
  auto now = environment_.time.now();
  auto is_fresh = now - last_busy < (sending ? sending_spin : spin);
  if (is_fresh && !others_.is_dense())
    return others_.yield();
  auto limit = std::chrono::ceil<milliseconds>(next_watch(now) - now);
  limit = std::clamp(limit, milliseconds{0},
                     sending ? sending_sleep : longest_sleep);
  worker_->wait(limit, [this] { return !mailbox_.empty() || is_stopping_; });
}

bool ucx_io::is_due(clock::instant now) const {
  return now - last_watch_ >= options_.heartbeat_period / 4;
}

void ucx_io::watch(clock::instant now) {
  last_watch_ = now;
  for (auto& [line, x] : sessions_.all()) {
    if (x->is_over)
      continue;
    if (auto why = x->end_at(now))
      sessions_.end(*x, why->code, why->message);
    else if (!x->is_peer())
      continue;
    else if (x->stall(now) > options_.stall_verdict)
      give_up(*x, "took nothing of what was sent to it for "
                    + in_seconds(options_.stall_verdict));
    else
      watch_.set_under_way(x->peer()->id, x->bytes_under_way());
  }
  auto news = watch_.tick(now);
  for (auto& verdict : news.dead)
    if (auto x = sessions_.find(verdict.peer);
        x && x->incarnation() == verdict.incarnation)
      give_up(*x, verdict.why);
  for (auto& asked : news.ask)
    if (auto x = sessions_.find(asked.peer);
        x && x->incarnation() == asked.incarnation)
      send_own(*x, frame_class::heartbeat, question);
}

clock::instant ucx_io::next_watch(clock::instant now) const {
  auto next = watch_.next_tick().value_or(now + longest_sleep);
  for (auto& [line, x] : sessions_.all()) {
    next = std::min(next, x->deadline());
  }
  return next;
}

void ucx_io::close_all() {
  sessions_.close_all();
  auto deadline = environment_.time.now() + std::chrono::seconds{1};
  while (sessions_.is_closing()) {
    if (environment_.time.now() > deadline) {
      environment_.log.warning("ucx did not close all of its endpoints");
      break;
    }
    if (!worker_->progress())
      sched_yield();
  }
}

// -- what comes in ------------------------------------------------------------

ucs_status_t ucx_io::on_am(std::span<const std::byte> header, void* data,
                           size_t length, bool is_rendezvous) {
  header_bytes copy{};
  if (header.size() != copy.size()) {
    gate_.count(refusal::damaged);
    return UCS_OK;
  }
  std::memcpy(copy.data(), header.data(), copy.size());
  // Who sent it is not proven by this: the seal is checked once it is whole.
  auto from = sessions_.find_incarnation(source_of(copy));
  if (!from || from->is_over) {
    auto is_known = from || doorman_->is_over(source_of(copy));
    gate_.count(is_known ? refusal::stale : refusal::unknown_peer);
    return UCS_OK;
  }
  if (!from->link()) { // Endpoints are not made within progress().
    if (length == 0)
      post([this, copy, from] { on_first_frame(from, copy); });
    return UCS_OK;
  }
  auto limit = from->is_joined ? options_.max_body : 0;
  if (length > limit
      || from->link()->num_expected() + length > most_expected()) {
    gate_.count(refusal::damaged);
    if (from->is_peer())
      give_up(*from, "sent more than the limit");
    else
      sessions_.end(*from, errc::peer_lost, "sent more than the limit");
    return UCS_OK;
  }
  return from->link()->receive(worker_->handle(), copy, data, length,
                               is_rendezvous);
}

/// Of who dialled us: its hello.
void ucx_io::on_first_frame(const session_ptr& from, const header_bytes& x) {
  auto decoded = decode_header(x, {}, from->peer()->seal);
  if (!decoded || decoded->kind != frame_class::hello)
    return gate_.count(refusal::damaged);
  if (from->link())
    return gate_.count(refusal::repeated);
  if (link_up(from))
    on_hello(from);
}

void ucx_io::on_message(ucx_link& link, const header_bytes& header,
                        body payload) {
  auto from = sessions_.find_link(link);
  if (!from || from->is_over)
    return gate_.count(refusal::stale);
  auto decoded = decode_header(header, payload.bytes(), from->peer()->seal);
  if (!decoded)
    return on_damaged(*from, header);
  if (decoded->kind == frame_class::hello)
    return on_hello(from);
  if (!from->is_joined)
    return gate_.count(refusal::unknown_peer);
  on_joined_frame(*from, {*decoded, std::move(payload)});
}

void ucx_io::on_joined_frame(ucx_session& from, frame&& x) {
  // Lanes share a connection: there none overtakes another.
  auto verdict = gate_.judge(x.header, from.link()->num_waiting());
  if (auto why = std::get_if<refusal>(&verdict)) {
    if (*why == refusal::ahead)
      give_up(from, frame_was_lost);
    return;
  }
  auto id = std::get<node_id>(verdict);
  watch_.heard(id, from.incarnation());
  if (x.header.kind == frame_class::heartbeat) {
    if (x.header.id == question)
      send_own(from, frame_class::heartbeat, answer);
    return;
  }
  has_traffic_ = true;
  if (handler_.on_frame)
    handler_.on_frame(id, std::move(x));
}

/// Whose link brought it, is the one that its header names.
void ucx_io::on_damaged(ucx_session& from, const header_bytes& x) {
  if (gate_.judge_damaged(x))
    give_up(from, frame_was_damaged);
}

/// The first frame of either side: the way there and back is open.
void ucx_io::on_hello(const session_ptr& from) {
  if (from->is_joined)
    return gate_.count(refusal::repeated);
  join(from);
  if (!from->is_ours())
    send_own(*from, frame_class::hello, 0);
  if (handler_.on_peer_joined)
    handler_.on_peer_joined(from->peer()->id, from->peer()->identity);
}

void ucx_io::on_failure(ucx_link& which, ucs_status_t why) {
  if (auto x = sessions_.find_link(which))
    sessions_.end(*x, errc::peer_lost, x->why_broken(ucs_status_string(why)));
}

size_t ucx_io::most_expected() const {
  return 4 * num_lanes * (options_.window + options_.max_body);
}

// -- what goes out ------------------------------------------------------------

void ucx_io::send(node_id to, frame_header header, body payload) {
  if (to == self_id_)
    return deliver_to_self(header, std::move(payload));
  auto peer = peers_.find(to);
  if (!peer || !is_meant(header, peer->identity.incarnation))
    return;
  auto size = payload.bytes().size();
  CHECK(size <= options_.max_body);
  auto cost = size + overhead;
  if (peer->unsent.fetch_add(cost) + cost > max_unsent_) {
    peer->unsent -= cost;
    return post([this, peer] {
      if (auto x = sessions_.find(peer->id); x && x->peer() == peer)
        give_up(*x, "did not take what was sent to it");
    });
  }
  unsent_charge charge{{peer, &peer->unsent}, cost};
  gate_.stamp(header, peer->identity.incarnation, size);
  auto checksum = begin_checksum(header.kind, payload.bytes(), peer->seal);
  post([this, peer,
        x = ucx_session::parcel{header, checksum, std::move(payload),
                                std::move(charge)}]() mutable {
    auto to = sessions_.find(peer->id);
    has_traffic_ = true;
    if (to && to->peer() == peer && !to->is_over)
      offer(*to, std::move(x));
  });
}

void ucx_io::offer(ucx_session& to, ucx_session::parcel x) {
  bytes_sent_ += x.size();
  sessions_.offer(to, std::move(x));
}

/// A frame that belongs to the transport itself.
void ucx_io::send_own(ucx_session& to, frame_class kind, uint64_t id) {
  if (to.is_over)
    return;
  if (kind == frame_class::heartbeat && options_.withholds_heartbeat
      && options_.withholds_heartbeat(to.peer()->id))
    return;
  frame_header header;
  header.kind = kind;
  header.id = id;
  gate_.stamp(header, to.incarnation(), 0);
  offer(to, {header, begin_checksum(kind, {}, to.peer()->seal), {}, {}});
}

void ucx_io::deliver_to_self(frame_header header, body payload) {
  gate_.stamp(header, gate_.incarnation(), payload.bytes().size());
  if (handler_.on_frame)
    handler_.on_frame(node_id(self_id_), {header, std::move(payload)});
}

// -- the owner's other wishes -------------------------------------------------

void ucx_io::set_self(node_id id) {
  CHECK(self_id_ == no_id || self_id_ == id);
  self_id_ = id;
}

void ucx_io::set_max_unsent(size_t bytes) {
  max_unsent_ = bytes;
}

void ucx_io::set_view(uint32_t view) {
  gate_.set_view(view);
}

void ucx_io::connect(node_id peer, dial_target target) {
  post(
    [this, peer, target = std::move(target)] { doorman_->dial(peer, target); });
}

void ucx_io::monitor(node_id peer) {
  post([this, peer] { watch_.monitor(peer); });
}

void ucx_io::disconnect(node_id peer, uint64_t incarnation,
                        const std::string& why) {
  if (!peers_.remove(peer, incarnation))
    return;
  post([this, peer, incarnation, why] {
    auto x = sessions_.find(peer);
    if (x && x->incarnation() == incarnation)
      leave(*x, "was given up: " + why, why);
  });
}

transport_stats ucx_io::stats() const {
  auto x = gate_.stats();
  x.bytes_sent = bytes_sent_;
  x.strangers_dropped = doorman_->stats().dropped;
  return x;
}

// -- sessions -----------------------------------------------------------------

doorman::owner ucx_io::make_owner(admission admit) {
  doorman::owner out;
  out.post = [this](auto f) { post(std::move(f)); };
  out.admit = std::move(admit);
  out.open = [this](auto& x, node_id id, bool is_ours, milliseconds deadline) {
    open(x, id, is_ours, deadline);
  };
  out.connect_failed = handler_.on_connect_failed;
  out.line_ended = [this](line_id line, const std::string& why) {
    if (auto x = sessions_.find_line(line))
      x->end_line(environment_.time.now(), why);
  };
  return out;
}

void ucx_io::open(const acquaintance& x, node_id id, bool is_ours,
                  milliseconds deadline) {
  auto session = std::make_shared<ucx_session>(x, id, is_ours, options_.window,
                                               gate_, pool_);
  session->join_deadline = environment_.time.now() + deadline;
  sessions_.add(session);
  if (auto ok = worker_->admit(x.who.listen); !ok)
    return sessions_.end(*session, ok.why().code, ok.why().message);
  if (is_ours && link_up(session))
    send_own(*session, frame_class::hello, 0);
}

/// Gives a session its link. Not within progress().
bool ucx_io::link_up(const session_ptr& x) {
  if (x->is_over)
    return false;
  ucx_link::owner& self = *this;
  auto link = std::make_shared<ucx_link>(self, pool_);
  auto status = link->connect(worker_->handle(), x->data_address());
  if (status != UCS_OK) {
    sessions_.end(
      *x, errc::peer_lost,
      std::string{"cannot be sent to: "} + ucs_status_string(status)
        + likely_cause(options_.self.listen, x->peer()->identity.listen));
    return false;
  }
  x->set_link(link);
  sessions_.add_link(x);
  return true;
}

void ucx_io::join(const session_ptr& x) {
  worker_->dismiss(x->peer()->identity.listen);
  doorman_->joined(x->line());
  auto id = x->peer()->id;
  auto added = gate_.add_peer(id, x->incarnation());
  CHECK(added);
  sessions_.add_joined(x);
  watch_.joined(id, x->incarnation());
  peers_.add(x->peer());
  environment_.log.info("node " + x->peer()->identity.name + " has joined");
}

/// By our own verdict; the other side may well live.
void ucx_io::give_up(ucx_session& x, const std::string& why) {
  leave(x, why, options_.self.name + " says that this node " + why);
}

/// Its place is free at once, but the link stays until the other side has
/// heard why: when it breaks, that must not be the first that is heard.
void ucx_io::leave(ucx_session& x, const std::string& why,
                   const std::string& for_it) {
  if (x.is_over || x.is_left())
    return;
  x.leave(environment_.time.now());
  sessions_.free_place(x);
  doorman_->give_up(x.line(), for_it);
  lose(x, why);
}

void ucx_io::bury() {
  for (auto& x : sessions_.bury())
    part(x);
}

/// The end of a session, for everybody else.
void ucx_io::part(const session_ptr& x) {
  auto& who = x->peer()->identity;
  doorman_->ended(x->line(), x->is_joined,
                  {x->code, "node " + who.name + " " + x->why_over});
  if (!x->is_joined)
    worker_->dismiss(who.listen);
  else if (!x->is_left())
    lose(*x, x->why_over);
}

/// Nothing is sent to it or taken from it any more, nor is it judged. An empty
/// `why`: nobody is told.
void ucx_io::lose(const ucx_session& x, const std::string& why) {
  auto& peer = *x.peer();
  watch_.gone(peer.id, x.incarnation());
  gate_.remove_peer(peer.id, x.incarnation());
  peers_.remove(peer.id, x.incarnation());
  if (why.empty())
    return;
  auto sentence = "node " + peer.identity.name + " " + why;
  environment_.log.debug(sentence);
  if (handler_.on_peer_lost)
    handler_.on_peer_lost(peer.id, x.incarnation(), sentence);
}

} // namespace troupe
