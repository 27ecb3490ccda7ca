#include "runtime/meeting/peer_watch.hpp"

#include "kernels/check.hpp"

#include <algorithm>
#include <cstdio>

namespace troupe {

std::string in_seconds(std::chrono::milliseconds x) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f s", double(x.count()) / 1000);
  return text;
}

void peer_watch::joined(node_id peer, uint64_t incarnation) {
  CHECK(peers_.emplace(peer, entry{.incarnation = incarnation}).second);
}

void peer_watch::gone(node_id peer, uint64_t incarnation) {
  auto i = peers_.find(peer);
  if (i == peers_.end() || i->second.incarnation != incarnation)
    return;
  num_monitored_ -= i->second.is_monitored;
  peers_.erase(i);
  if (num_monitored_ == 0)
    last_.reset();
}

void peer_watch::monitor(node_id peer) {
  auto i = peers_.find(peer);
  if (i == peers_.end() || i->second.is_monitored)
    return;
  i->second.is_monitored = true;
  i->second.silence = {};
  ++num_monitored_;
}

void peer_watch::heard(node_id peer, uint64_t incarnation) {
  auto i = peers_.find(peer);
  if (i != peers_.end() && i->second.incarnation == incarnation)
    i->second.silence = {};
}

void peer_watch::set_under_way(node_id peer, uint64_t bytes) {
  if (auto i = peers_.find(peer); i != peers_.end())
    i->second.under_way = bytes;
}

clock::instant::duration peer_watch::patience(const entry& x) const {
  auto transfer = std::chrono::duration<double>{double(x.under_way)
                                                / options_.slowest_network};
  return options_.silence_verdict
         + std::chrono::duration_cast<clock::instant::duration>(transfer);
}

peer_watch::news peer_watch::tick(clock::instant now) {
  news out;
  if (num_monitored_ == 0 || (last_ && now < *next_tick()))
    return out;
  clock::instant::duration period = options_.heartbeat_period;
  auto seen = last_ ? std::min(now - *last_, period) : decltype(period){};
  last_ = now;
  for (auto& [id, x] : peers_) {
    if (!x.is_monitored)
      continue;
    x.silence += seen;
    if (x.silence > patience(x))
      out.dead.push_back(
        {id, x.incarnation,
         "was silent for " + in_seconds(options_.silence_verdict)});
    else
      out.ask.push_back({id, x.incarnation});
  }
  for (auto& x : out.dead)
    gone(x.peer, x.incarnation);
  return out;
}

std::optional<clock::instant> peer_watch::next_tick() const {
  if (num_monitored_ == 0)
    return std::nullopt;
  if (!last_)
    return clock::instant::min();
  // At the same instants whoever asks, so that a machine wakes up once for all.
  auto since = last_->time_since_epoch() % options_.heartbeat_period;
  return *last_ + options_.heartbeat_period - since;
}

} // namespace troupe
