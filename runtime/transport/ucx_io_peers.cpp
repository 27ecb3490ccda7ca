// Meeting and watching: the half of ucx_io that knows who the others are.

#include "runtime/transport/ucx_io.hpp"

#include <cstdio>

namespace troupe {

using std::chrono::milliseconds;

namespace {

/// In the id of a heartbeat: who asks and who answers.
constexpr uint64_t question = 0, answer = 1;

/// Bytes per second that a network carries at least: while so much is under
/// way, heartbeats wait behind it, and a peer is given the time that it takes.
constexpr double slowest_network = 10e6;

body copy_of(std::span<const std::byte> bytes) {
  auto data = std::make_shared<std::vector<std::byte>>(bytes.begin(),
                                                       bytes.end());
  return {data, *data};
}

std::string in_seconds(milliseconds x) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f s", double(x.count()) / 1000);
  return text;
}

} // namespace

// -- meeting ------------------------------------------------------------------

size_t ucx_io::num_pending() const {
  size_t n = 0;
  for (auto& [endpoint, x] : sessions_)
    n += !x->peer && !x->is_ours;
  return n;
}

void ucx_io::start_meeting(const session_ptr& x, handshake::role side,
                           milliseconds deadline) {
  hello_nonce nonce;
  environment_.chance.fill(nonce);
  x->meeting = std::make_unique<handshake>(side, hello_, nonce);
  x->deadline = environment_.time.now() + deadline;
}

void ucx_io::start_connect(node_id peer, const endpoint_address& address,
                           milliseconds deadline, std::string name) {
  auto x = std::make_shared<session>();
  x->is_ours = true;
  x->expected = peer;
  x->expected_name = std::move(name);
  x->address = to_string(address);
  auto fail = [&](errc code, const std::string& why) {
    if (handler_.on_connect_failed)
      handler_.on_connect_failed(
        peer, {code, "cannot join the node at " + x->address + ": " + why});
  };
  auto socket = to_socket_address(address);
  if (!socket)
    return fail(socket.why().code, socket.why().message);
  x->link = make_link();
  auto status = x->link->connect(worker_->handle(), *socket);
  if (status != UCS_OK)
    return fail(errc::peer_lost, ucs_status_string(status));
  sessions_[x->link->handle()] = x;
  start_meeting(x, handshake::role::initiator, deadline);
  send_hello(*x, x->meeting->greeting());
}

void ucx_io::send_hello(session& to, std::span<const std::byte> message) {
  frame_header header;
  header.kind = frame_class::hello;
  gate_.stamp(header, 0, message.size()); // Whom it is for is not known yet.
  transmit(to, encode_header(header, message, true), copy_of(message));
}

void ucx_io::on_hello(session& from, const frame& x) {
  if (from.is_refused)
    return end(from, errc::refused, "went on after it was refused");
  // Another cluster is told so by the handshake; here it is only counted.
  if (x.header.cluster != cluster_hash(options_.cluster))
    gate_.count(refusal::foreign);
  auto step = from.meeting->receive(x.payload.bytes());
  if (step.failed) {
    if (!step.refused_by_peer)
      return refuse(from, *step.failed);
    return end(from, step.failed->code, step.failed->message);
  }
  if (gives_way(from, step.done))
    return;
  if (!step.reply.empty())
    send_hello(from, step.reply);
  if (step.done)
    on_proven(from);
}

/// The other side is told, and closes; until then or the deadline we wait.
void ucx_io::refuse(session& x, const failure& why) {
  environment_.log.warning("refused a connection: " + why.message);
  send_hello(x, handshake::refuse(why.message));
  x.is_refused = true;
  if (x.is_ours && handler_.on_connect_failed)
    handler_.on_connect_failed(
      x.expected,
      {why.code, "cannot join the node at " + x.address + ": " + why.message});
}

void ucx_io::on_proven(session& from) {
  auto place = place_of(from);
  if (!place)
    return refuse(from, place.why());
  if (!from.is_ours)
    send_hello(from, handshake::welcome());
  join(from, *place);
}

result<node_id> ucx_io::place_of(session& from) {
  auto& who = from.meeting->peer();
  auto no = [](std::string why) { return failure{errc::refused, why}; };
  if (gate_.is_over(who.incarnation)) {
    gate_.count(refusal::stale);
    return no("this process was given up; only a new one can join");
  }
  if (gate_.find(who.incarnation))
    return no("the node is connected already");
  if (!from.is_ours) {
    auto id = admit_ ? admit_(who) : std::nullopt;
    return id ? result<node_id>{*id}
              : no("this cluster has no place for node " + who.name);
  }
  if (!from.expected_name.empty() && from.expected_name != who.name)
    return no("node " + who.name + " is there instead of "
              + from.expected_name);
  return from.expected;
}

/// If both sides connect at once, the connection of the lower incarnation
/// stays and the other ends without an event. An initiator that has joined
/// meanwhile gives way before it sends its proof; so both sides agree on which
/// one stays.
bool ucx_io::gives_way(session& from, bool is_proven) {
  auto theirs = from.meeting->peer().incarnation;
  auto drop = [&](session& x) {
    x.is_refused = true;
    end(x, errc::refused, "was not needed");
  };
  if (from.is_ours && gate_.find(theirs)) {
    drop(from);
    return true;
  }
  if (from.is_ours || !is_proven)
    return false;
  for (auto& [endpoint, x] : sessions_) {
    if (!x->is_ours || x->peer || x->is_over || x->is_refused
        || x->meeting->peer().incarnation != theirs)
      continue;
    if (gate_.incarnation() < theirs) {
      from.is_refused = true; // Until the other side drops it.
      return true;
    }
    drop(*x);
  }
  return false;
}

void ucx_io::join(session& x, node_id id) {
  if (auto old = find(id)) {
    end(*old, errc::peer_lost, "was replaced by a new process");
    std::erase(over_, old);
    bury(old);
  }
  auto& who = x.meeting->peer();
  auto added = gate_.add_peer(id, who.incarnation);
  CHECK(added);
  x.peer = std::make_shared<ucx_peer>(id, who, x.meeting->checksum_bodies());
  joined_[id] = find(x.link->handle());
  {
    std::lock_guard guard{peers_mutex_};
    peers_[id] = x.peer;
  }
  x.last_heard = x.stalled_since = environment_.time.now();
  environment_.log.info("node " + who.name + " has joined");
  if (handler_.on_peer_joined)
    handler_.on_peer_joined(id, x.peer->identity);
}

// -- watching -----------------------------------------------------------------

void ucx_io::on_heartbeat(session& from, const frame& x) {
  if (x.header.id == question)
    send_heartbeat(from, false);
}

void ucx_io::send_heartbeat(session& to, bool is_question) {
  frame_header header;
  header.kind = frame_class::heartbeat;
  header.id = is_question ? question : answer;
  gate_.stamp(header, to.peer->identity.incarnation, 0);
  transmit(to, encode_header(header, {}, to.peer->checksum_bodies), {});
}

void ucx_io::watch(clock::instant now) {
  // If this process itself was stopped, the others were not silent.
  auto gap = now - std::exchange(last_round_, now);
  auto was_stopped = gap > options_.silence_verdict / 2;
  for (auto& [endpoint, x] : sessions_) {
    if (was_stopped) {
      x->last_heard += gap;
      x->stalled_since += gap;
    }
    if (x->is_over)
      continue;
    if (x->peer)
      watch_joined(*x, now);
    else
      watch_meeting(*x, now);
  }
}

void ucx_io::watch_meeting(session& x, clock::instant now) {
  if (now >= x.deadline)
    end(x, errc::deadline_passed, "there was no answer in time");
}

void ucx_io::watch_joined(session& x, clock::instant now) {
  if (x.link->num_sending() == 0
      || std::exchange(x.num_sent, x.link->num_sent()) != x.link->num_sent())
    x.stalled_since = now;
  if (now - x.stalled_since > options_.stall_verdict)
    return end(x, errc::peer_lost,
               "took nothing of what was sent to it for "
                 + in_seconds(options_.stall_verdict));
  if (!x.is_monitored)
    return;
  auto under_way = x.link->num_expected() + x.link->bytes_sending(lane::control)
                   + x.link->bytes_sending(lane::rows);
  auto allowance = std::chrono::duration_cast<clock::instant::duration>(
    std::chrono::duration<double>{double(under_way) / slowest_network});
  if (now - x.last_heard > options_.silence_verdict + allowance)
    return end(x, errc::peer_lost,
               "was silent for " + in_seconds(options_.silence_verdict));
  if (now < x.next_question)
    return;
  // All at the same instants, so that this thread wakes up once for them.
  auto since = now.time_since_epoch() % options_.heartbeat_period;
  x.next_question = now + options_.heartbeat_period - since;
  send_heartbeat(x, true);
}

clock::instant ucx_io::next_watch(clock::instant now) const {
  auto next = now + std::chrono::hours{1};
  for (auto& [endpoint, x] : sessions_) {
    if (!x->peer)
      next = std::min(next, x->deadline);
    else if (x->is_monitored)
      next = std::min(next, x->next_question);
    if (x->peer && x->link->num_sending() > 0)
      next = std::min(next, x->stalled_since + options_.stall_verdict);
  }
  return next;
}

} // namespace troupe
