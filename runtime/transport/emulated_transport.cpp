#include "runtime/transport/emulated_transport.hpp"

#include "runtime/fnv.hpp"

#include "kernels/check.hpp"

#include <sys/prctl.h>

#include <algorithm>

namespace troupe {

namespace {

/// By how many nanoseconds the kernel may wake the thread later than asked;
/// otherwise it takes 50 us.
constexpr unsigned long timer_slack = 1;

} // namespace

link_emulator::link_emulator(std::vector<link_emulation> all, std::string name,
                             const clock& time)
  : all_(std::move(all)), name_(std::move(name)), time_(time) {
}

// -- peers --------------------------------------------------------------------

transport_handler link_emulator::listen(transport_handler owner) {
  auto out = owner;
  out.on_peer_joined = [this, tell = owner.on_peer_joined](auto peer,
                                                           auto& who) {
    {
      std::lock_guard lock{mutex_};
      peers_.insert_or_assign(peer, make_peer(peer, who.incarnation));
    }
    if (tell)
      tell(peer, who);
  };
  out.on_peer_lost =
    [this, tell = owner.on_peer_lost](auto peer, auto incarnation, auto& why) {
      drop(peer, incarnation);
      if (tell)
        tell(peer, incarnation, why);
    };
  return out;
}

/// The lanes that the same words concern share a link.
link_emulator::peer_state link_emulator::make_peer(node_id peer,
                                                   uint64_t incarnation) const {
  peer_state out;
  out.incarnation = incarnation;
  for (size_t i = all_.size(); i-- > 0;) {
    auto& x = all_[i];
    emulated_link* link = nullptr;
    for (size_t l = 0; l < num_lanes; ++l) {
      auto is_last = std::none_of(
        all_.begin() + ptrdiff_t(i) + 1, all_.end(),
        [&](auto& later) { return later.concerns(peer, lane(l)); });
      if (!is_last || !x.concerns(peer, lane(l)) || x.is_none())
        continue;
      if (!link) {
        auto place = name_ + " " + std::to_string(peer) + " "
                     + std::to_string(i);
        auto seed = random_stream::mix(x.seed) ^ fnv_1a(place);
        link = out.links
                 .emplace_back(std::make_unique<emulated_link>(x.model, seed))
                 .get();
      }
      out.lanes[l] = link;
    }
  }
  return out;
}

void link_emulator::drop(node_id peer, uint64_t incarnation) {
  peer_state gone; // the last owner of memory, perhaps: not under the lock
  std::lock_guard lock{mutex_};
  auto at = peers_.find(peer);
  if (at == peers_.end() || at->second.incarnation != incarnation)
    return;
  gone = std::move(at->second);
  peers_.erase(at);
}

// -- frames -------------------------------------------------------------------

link_emulator::verdict
link_emulator::offer(node_id to, const frame_header& header, body& payload) {
  std::lock_guard lock{mutex_};
  auto at = peers_.find(to);
  if (at == peers_.end())
    return {}; // whoever that is, the transport knows
  auto& peer = at->second;
  auto* link = peer.lanes[size_t(lane_of(header.kind))];
  if (!link)
    return {};
  emulated_link::parcel x{header, std::move(payload)};
  size_t unsent = x.size();
  for (auto& each : peer.links)
    unsent += each->num_unsent();
  peer.is_given_up |= unsent > max_unsent_;
  if (peer.is_given_up) {
    payload = std::move(x.payload); // freed by the caller, without the lock
    return {fate::too_much, peer.incarnation};
  }
  link->offer(std::move(x), time_.now());
  if (link->next().value_or(clock::instant::max()) < alarm_) {
    alarm_ = clock::instant::min();
    changed_.notify_one();
  }
  return {fate::held};
}

std::optional<std::pair<node_id, emulated_link::parcel>> link_emulator::take() {
  std::lock_guard lock{mutex_};
  auto now = time_.now();
  for (auto& [id, peer] : peers_)
    for (auto& link : peer.links)
      if (auto x = link->take(now))
        return std::pair{id, std::move(*x)};
  return std::nullopt;
}

std::vector<std::pair<node_id, emulated_link::parcel>>
link_emulator::take_all() {
  std::vector<std::pair<node_id, emulated_link::parcel>> out;
  std::lock_guard lock{mutex_};
  for (auto& [id, peer] : peers_)
    for (auto& link : peer.links)
      for (auto& x : link->take_all())
        out.emplace_back(id, std::move(x));
  return out;
}

void link_emulator::set_max_unsent(size_t bytes) {
  std::lock_guard lock{mutex_};
  max_unsent_ = bytes;
}

// -- time ---------------------------------------------------------------------

/// With the lock held.
clock::instant link_emulator::next() const {
  auto out = clock::instant::max();
  for (auto& [id, peer] : peers_)
    for (auto& link : peer.links)
      out = std::min(out, link->next().value_or(out));
  return out;
}

/// Sleeps until something may be due. False: it is over.
bool link_emulator::wait() {
  std::unique_lock lock{mutex_};
  for (;;) {
    if (is_stopping_)
      return false;
    alarm_ = next();
    if (alarm_ <= time_.now())
      break;
    if (alarm_ == clock::instant::max())
      changed_.wait(lock);
    else
      changed_.wait_until(lock, alarm_);
  }
  alarm_ = clock::instant::min();
  return true;
}

void link_emulator::stop() {
  std::lock_guard lock{mutex_};
  is_stopping_ = true;
  changed_.notify_one();
}

// -- the decorator ------------------------------------------------------------

emulated_transport::emulated_transport(std::unique_ptr<transport> inner,
                                       std::shared_ptr<link_emulator> links)
  : transport_decorator(std::move(inner)), links_(std::move(links)) {
}

emulated_transport::~emulated_transport() {
  links_->stop();
  if (thread_.joinable())
    thread_.join();
  for (auto& [to, x] : links_->take_all())
    inner().send(to, x.header, std::move(x.payload));
  end_inner();
}

void emulated_transport::start() {
  CHECK(!thread_.joinable());
  thread_ = std::thread{[this] {
    ::prctl(PR_SET_TIMERSLACK, timer_slack);
    while (links_->wait())
      release();
  }};
}

void emulated_transport::release() {
  while (auto due = links_->take())
    inner().send(due->first, due->second.header,
                 std::move(due->second.payload));
}

void emulated_transport::send(node_id to, frame_header header, body payload) {
  using fate = link_emulator::fate;
  auto verdict = links_->offer(to, header, payload);
  switch (verdict.what) {
    case fate::held:
      return;
    case fate::passes:
      return inner().send(to, header, std::move(payload));
    case fate::too_much:
      inner().disconnect(to, verdict.incarnation,
                         "did not take what was sent to it");
  }
}

void emulated_transport::set_max_unsent(size_t bytes) {
  links_->set_max_unsent(bytes);
  inner().set_max_unsent(bytes);
}

} // namespace troupe
