#include "runtime/transport/ucx_io.hpp"

#include <sched.h>

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

/// What a queued frame costs beside its bytes.
constexpr size_t overhead = 256;

} // namespace

ucx_io::ucx_io(ucx_options options, ucx_environment environment,
               admission admit, transport_handler handler)
  : options_(std::move(options)), environment_(environment),
    admit_(std::move(admit)), handler_(std::move(handler)),
    gate_(cluster_hash(options_.cluster), options_.self.incarnation),
    self_id_(options_.self_id ? *options_.self_id : no_id),
    max_unsent_(options_.max_unsent) {
}

ucx_io::~ucx_io() {
  is_stopping_ = true;
  if (!thread_.joinable())
    return;
  worker_->wake();
  thread_.join();
}

result<void> ucx_io::start() {
  auto worker = ucx_worker::open(
    options_.listen,
    {.on_connection = [this](ucp_conn_request_h x) { on_connection(x); },
     .on_message =
       [this](std::span<const std::byte> header, void* data, size_t length,
              const ucp_am_recv_param_t& param) {
         return on_am(header, data, length, param);
       }});
  if (!worker)
    return worker.why();
  worker_ = std::move(*worker);
  options_.self.listen = worker_->address();
  hello_ = {options_.cluster, options_.secret, options_.self,
            options_.checksum_bodies};
  thread_ = std::thread{[this] { run(); }};
  return {};
}

// -- the loop -----------------------------------------------------------------

void ucx_io::run() {
  auto last_busy = last_round_ = environment_.time.now();
  while (!is_stopping_) {
    auto busy = mailbox_.run_all();
    busy |= worker_->progress();
    busy |= pump();
    auto now = environment_.time.now();
    // What came in while this process was stopped is read before anybody is
    // judged by the silence.
    if (!busy)
      watch(now);
    bury();
    if (!busy)
      pause(last_busy);
    else if (std::exchange(has_traffic_, false) || is_sending())
      last_busy = now; // signs of life alone are not worth to stay awake for
  }
  close_all();
}

bool ucx_io::is_sending() const {
  auto sends = [](auto& x) { return x.second->link->num_sending() > 0; };
  return !closing_.empty() || std::ranges::any_of(sessions_, sends);
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

void ucx_io::post(ucx_mailbox::call f) {
  mailbox_.push(std::move(f));
  worker_->wake();
}

void ucx_io::close_all() {
  for (auto& [endpoint, x] : sessions_) {
    x->link->close();
    closing_.push_back(x->link);
  }
  sessions_.clear();
  joined_.clear();
  auto deadline = environment_.time.now() + std::chrono::seconds{1};
  auto is_closed = [](auto& link) { return link->is_closed(); };
  while (std::erase_if(closing_, is_closed), !closing_.empty()) {
    if (environment_.time.now() > deadline) {
      environment_.log.warning("ucx did not close all of its endpoints");
      break;
    }
    if (!worker_->progress())
      sched_yield();
  }
}

std::shared_ptr<ucx_link> ucx_io::make_link() {
  ucx_link::owner& self = *this;
  return std::make_shared<ucx_link>(self);
}

// -- what comes in ------------------------------------------------------------

void ucx_io::on_connection(ucp_conn_request_h request) {
  if (num_pending() >= options_.max_pending_handshakes)
    return worker_->reject(request);
  auto x = std::make_shared<session>();
  x->link = make_link();
  if (x->link->accept(worker_->handle(), request) != UCS_OK)
    return;
  sessions_[x->link->handle()] = x;
  start_meeting(x, handshake::role::responder, options_.handshake_deadline);
}

ucs_status_t ucx_io::on_am(std::span<const std::byte> header, void* data,
                           size_t length, const ucp_am_recv_param_t& param) {
  header_bytes copy{};
  if (header.size() != copy.size()) {
    gate_.count(refusal::damaged);
    return UCS_OK;
  }
  std::memcpy(copy.data(), header.data(), copy.size());
  auto has_endpoint = param.recv_attr & UCP_AM_RECV_ATTR_FIELD_REPLY_EP;
  auto from = has_endpoint ? find(param.reply_ep) : nullptr;
  if (!from || from->is_over) {
    gate_.count(from || has_endpoint ? refusal::stale : refusal::unknown_peer);
    return UCS_OK;
  }
  auto limit = from->peer ? options_.max_body : handshake::max_message;
  auto expected = from->link->num_expected();
  if (length > limit || expected + length > most_expected()) {
    gate_.count(refusal::damaged);
    end(*from, errc::peer_lost, "sent more than the limit");
    return UCS_OK;
  }
  auto is_rendezvous = (param.recv_attr & UCP_AM_RECV_ATTR_FLAG_RNDV) != 0;
  return from->link->receive(worker_->handle(), copy, data, length,
                             is_rendezvous);
}

void ucx_io::on_message(ucx_link& link, const header_bytes& header,
                        body payload) {
  auto from = find(link.handle());
  if (!from || from->is_over)
    return gate_.count(refusal::stale);
  // Before anything is agreed upon, the checksum covers all.
  auto with_body = !from->peer || from->peer->checksum_bodies;
  auto decoded = decode_header(header, payload.bytes(), with_body);
  if (!decoded) {
    gate_.count(refusal::damaged);
    if (!from->peer)
      end(*from, errc::invalid_input, decoded.why().message);
    return;
  }
  frame x{*decoded, std::move(payload)};
  if (from->peer)
    return on_joined_frame(*from, std::move(x));
  if (x.header.kind == frame_class::hello)
    return on_hello(*from, x);
  gate_.count(refusal::unknown_peer);
  end(*from, errc::invalid_input, "sent frames before it had joined");
}

void ucx_io::on_joined_frame(session& from, frame&& x) {
  from.last_heard = environment_.time.now();
  if (x.header.source != from.peer->identity.incarnation)
    return gate_.count(refusal::unknown_peer);
  auto verdict = gate_.judge(x.header);
  auto id = std::get_if<node_id>(&verdict);
  if (!id)
    return;
  if (x.header.kind == frame_class::heartbeat)
    return on_heartbeat(from, x);
  has_traffic_ = true;
  if (x.header.kind == frame_class::hello)
    return gate_.count(refusal::damaged);
  if (handler_.on_frame)
    handler_.on_frame(*id, std::move(x));
}

void ucx_io::on_failure(ucx_link& which, ucs_status_t why) {
  if (auto x = find(which.handle()))
    end(*x, errc::peer_lost,
        std::string{"lost its connection: "} + ucs_status_string(why));
}

size_t ucx_io::most_expected() const {
  return 4 * num_lanes * (options_.window + options_.max_body);
}

// -- what goes out ------------------------------------------------------------

void ucx_io::send(node_id to, frame_header header, body payload) {
  if (to == self_id_)
    return deliver_to_self(header, std::move(payload));
  std::shared_ptr<ucx_peer> peer;
  {
    std::shared_lock guard{peers_mutex_};
    if (auto i = peers_.find(to); i != peers_.end())
      peer = i->second;
  }
  if (!peer)
    return;
  auto size = payload.bytes().size();
  CHECK(size <= options_.max_body);
  auto cost = size + overhead;
  if (peer->unsent.fetch_add(cost) + cost > max_unsent_) {
    peer->unsent -= cost;
    return post([this, peer] {
      if (auto x = find(peer->id); x && x->peer == peer)
        end(*x, errc::peer_lost, "did not take what was sent to it");
    });
  }
  std::shared_ptr<const void> charge{
    nullptr, [peer, cost](auto) { peer->unsent -= cost; }};
  gate_.stamp(header, peer->identity.incarnation, size);
  auto bytes = encode_header(header, payload.bytes(), peer->checksum_bodies);
  post([this, peer,
        x = parcel{bytes, std::move(payload), std::move(charge)}]() mutable {
    offer(peer, std::move(x));
  });
}

/// Into the network, or behind what waits for the same lane.
void ucx_io::offer(const std::shared_ptr<ucx_peer>& peer, parcel&& x) {
  has_traffic_ = true;
  auto to = find(peer->id);
  if (!to || to->peer != peer || to->is_over)
    return;
  auto& waiting = to->waiting[size_t(lane_of(x.header))];
  if (waiting.empty() && has_room(*to, x))
    return transmit(*to, x.header, std::move(x.payload), std::move(x.charge));
  if (to->num_waiting() == 0)
    congested_.push_back(to);
  waiting.push_back(std::move(x));
}

bool ucx_io::has_room(const session& to, const parcel& x) const {
  auto under_way = to.link->bytes_sending(lane_of(x.header));
  auto size = x.header.size() + x.payload.bytes().size();
  return under_way == 0 || under_way + size <= options_.window;
}

/// Sends what has waited and has room now. Returns whether anything was sent.
bool ucx_io::pump() {
  auto has_sent = false;
  std::erase_if(congested_, [&](auto& x) {
    has_sent |= pump(*x);
    return x->num_waiting() == 0;
  });
  return has_sent;
}

bool ucx_io::pump(session& x) {
  auto has_sent = false;
  for (auto& waiting : x.waiting) // control first
    while (!waiting.empty() && !x.is_over && has_room(x, waiting.front())) {
      auto next = std::move(waiting.front());
      waiting.pop_front();
      transmit(x, next.header, std::move(next.payload), std::move(next.charge));
      has_sent = true;
    }
  return has_sent;
}

void ucx_io::deliver_to_self(frame_header header, body payload) {
  gate_.stamp(header, gate_.incarnation(), payload.bytes().size());
  if (handler_.on_frame)
    handler_.on_frame(node_id(self_id_), {header, std::move(payload)});
}

void ucx_io::transmit(session& to, const header_bytes& header, body payload,
                      std::shared_ptr<const void> charge) {
  if (to.is_over)
    return;
  bytes_sent_ += header.size() + payload.bytes().size();
  to.link->send(header, std::move(payload), std::move(charge));
}

// -- the owner's other wishes -------------------------------------------------

void ucx_io::set_self(node_id id) {
  CHECK(self_id_ == no_id || self_id_ == id);
  self_id_ = id;
}

void ucx_io::set_max_unsent(size_t bytes) {
  max_unsent_ = bytes;
}

void ucx_io::set_view(uint32_t view, uint32_t epoch) {
  gate_.set_view(view, epoch);
}

void ucx_io::connect(node_id peer, endpoint_address address,
                     milliseconds deadline, std::string name) {
  post([=, this] { start_connect(peer, address, deadline, name); });
}

void ucx_io::monitor(node_id peer) {
  post([this, peer] {
    auto x = find(peer);
    if (!x || x->is_monitored)
      return;
    x->is_monitored = true;
    x->last_heard = x->next_question = environment_.time.now();
  });
}

void ucx_io::disconnect(node_id peer) {
  std::shared_ptr<ucx_peer> known;
  {
    std::lock_guard guard{peers_mutex_};
    if (auto i = peers_.find(peer); i != peers_.end()) {
      known = i->second;
      peers_.erase(i);
    }
  }
  if (!known)
    return;
  post([this, known] {
    auto x = find(known->id);
    if (!x || x->peer != known)
      return;
    x->why_over.clear(); // No event.
    x->is_over = true;
    over_.push_back(x);
  });
}

transport_stats ucx_io::stats() const {
  transport_stats x{.bytes_sent = bytes_sent_};
  for (size_t i = 0; i < size_t(refusal::num_refusals); ++i)
    x.frames_refused[i] = gate_.refused(refusal(i));
  return x;
}

// -- the end of a session -----------------------------------------------------

ucx_io::session_ptr ucx_io::find(ucp_ep_h endpoint) const {
  auto i = sessions_.find(endpoint);
  return i == sessions_.end() ? nullptr : i->second;
}

ucx_io::session_ptr ucx_io::find(node_id peer) const {
  auto i = joined_.find(peer);
  return i == joined_.end() ? nullptr : i->second;
}

void ucx_io::end(session& x, errc code, std::string why) {
  if (std::exchange(x.is_over, true))
    return;
  x.code = code;
  x.why_over = std::move(why);
  over_.push_back(find(x.link->handle()));
}

void ucx_io::bury() {
  auto is_closed = [](auto& link) { return link->is_closed(); };
  std::erase_if(closing_, is_closed);
  while (!over_.empty())
    for (auto& x : std::exchange(over_, {}))
      bury(x);
}

void ucx_io::bury(const session_ptr& x) {
  sessions_.erase(x->link->handle());
  if (x->peer) {
    joined_.erase(x->peer->id);
    gate_.remove_peer(x->peer->id);
    std::lock_guard guard{peers_mutex_};
    if (auto i = peers_.find(x->peer->id);
        i != peers_.end() && i->second == x->peer)
      peers_.erase(i);
  }
  for (auto& waiting : x->waiting)
    waiting.clear();
  x->link->close();
  closing_.push_back(x->link);
  if (x->why_over.empty())
    return;
  if (x->peer) {
    auto why = "node " + x->peer->identity.name + " " + x->why_over;
    environment_.log.debug(why);
    if (handler_.on_peer_lost)
      handler_.on_peer_lost(x->peer->id, why);
  } else if (x->is_ours && !x->is_refused) {
    auto why = "cannot join the node at " + x->address + ": " + x->why_over;
    environment_.log.debug(why);
    if (handler_.on_connect_failed)
      handler_.on_connect_failed(x->expected, {x->code, why});
  }
}

} // namespace troupe
