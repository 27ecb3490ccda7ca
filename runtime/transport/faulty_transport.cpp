#include "runtime/transport/faulty_transport.hpp"

#include "runtime/transport/link_model.hpp"

#include "kernels/check.hpp"

#include <algorithm>
#include <utility>

namespace troupe {

namespace {

constexpr auto never = clock::instant::max();

bool stops_heartbeats(const link_rule& x) {
  return x.what == link_rule::kind::stop
         && (x.which == frame_filter::all || x.which == frame_filter::control
             || x.which == frame_filter::heartbeat);
}

size_t size_of(const body& payload) {
  return frame_header::size + payload.bytes().size();
}

} // namespace

link_faults::link_faults(const clock& time, peer_observer observe)
  : time_(time), observe_(std::move(observe)) {
}

// -- faults -------------------------------------------------------------------

link_faults::rule_id link_faults::begin(const link_rule& x) {
  CHECK(x.what != link_rule::kind::rate || x.bytes_per_second > 0);
  std::lock_guard lock{mutex_};
  rules_.push_back({x, 0, false, time_.now()});
  return rules_.size() - 1;
}

void link_faults::heal(rule_id x) {
  std::lock_guard lock{mutex_};
  rules_.at(x).is_over = true;
}

uint64_t link_faults::num_hit(rule_id x) const {
  std::lock_guard lock{mutex_};
  return rules_.at(x).num_hit;
}

bool link_faults::reset(node_id peer) {
  std::optional<uint64_t> incarnation;
  {
    std::lock_guard lock{mutex_};
    incarnation = links_[peer].incarnation;
  }
  std::lock_guard guard{door_};
  if (incarnation && inner_)
    inner_->disconnect(peer, *incarnation, "a fault has reset the connection");
  return incarnation && inner_;
}

// -- what is kept -------------------------------------------------------------

clock::instant link_faults::due(node_id peer, lane which,
                                const kept_frame& x) const {
  auto out = x.sent;
  for (auto& rule : rules_) {
    auto& what = rule.what;
    if (rule.is_over || what.peer != peer || !is_about(what.which, which))
      continue;
    if (what.what == link_rule::kind::stop)
      return never;
    if (what.what == link_rule::kind::delay)
      out += what.extra;
  }
  for (auto& rule : rules_)
    if (!rule.is_over && rule.what.peer == peer
        && rule.what.what == link_rule::kind::rate
        && is_about(rule.what.which, which))
      out = std::max(out, rule.free_at);
  return out;
}

/// A frame goes out: the links that are slow are taken for as long.
void link_faults::pay(node_id peer, lane which, size_t bytes,
                      clock::instant now) {
  for (auto& rule : rules_)
    if (!rule.is_over && rule.what.peer == peer
        && rule.what.what == link_rule::kind::rate
        && is_about(rule.what.which, which))
      rule.free_at = std::max(rule.free_at, now)
                     + transmission_time(bytes, rule.what.bytes_per_second);
}

bool link_faults::keep(node_id to, const frame_header& header,
                       const body& payload) {
  std::lock_guard lock{mutex_};
  auto at = links_.find(to);
  if (at == links_.end() || !at->second.incarnation)
    return false; // whoever that is, the transport knows
  auto& link = at->second;
  auto which = lane_of(header.kind);
  auto& lane = link.lanes[size_t(which)];
  auto now = time_.now();
  kept_frame x{header, payload, now};
  auto bytes = size_of(payload);
  auto is_free = lane.kept.empty() && !lane.is_releasing;
  if (is_free && due(to, which, x) <= now) {
    pay(to, which, bytes, now);
    return false;
  }
  for (auto& rule : rules_)
    if (!rule.is_over && rule.what.peer == to
        && is_about(rule.what.which, which))
      ++rule.num_hit;
  link.num_bytes += bytes;
  lane.kept.push_back(std::move(x));
  return true;
}

/// Lets one frame go, if one is due; returns whether one was.
bool link_faults::release_one(node_id peer, lane which) {
  kept_frame x;
  {
    std::lock_guard lock{mutex_};
    auto& link = links_[peer];
    auto& lane = link.lanes[size_t(which)];
    lane.is_releasing = false;
    auto now = time_.now();
    if (lane.kept.empty() || due(peer, which, lane.kept.front()) > now)
      return false;
    x = std::move(lane.kept.front());
    lane.kept.pop_front();
    lane.is_releasing = true; // who sends meanwhile comes after it
    auto bytes = size_of(x.payload);
    link.num_bytes -= bytes;
    pay(peer, which, bytes, now);
  }
  inner_->send(peer, x.header, std::move(x.payload));
  return true;
}

void link_faults::release() {
  std::vector<std::pair<node_id, uint64_t>> full;
  std::vector<node_id> peers;
  std::lock_guard guard{door_};
  if (!inner_)
    return;
  {
    std::lock_guard lock{mutex_};
    for (auto& [peer, link] : links_) {
      if (link.num_bytes > max_unsent_ && link.incarnation)
        full.emplace_back(peer, *link.incarnation);
      if (link.num_bytes > 0)
        peers.push_back(peer);
    }
  }
  for (auto& [peer, incarnation] : full)
    inner_->disconnect(peer, incarnation, "did not take what was sent to it");
  for (auto peer : peers)
    for (auto which : {lane::control, lane::rows, lane::bulk})
      while (release_one(peer, which))
        continue;
}

clock::instant link_faults::next_release() const {
  std::lock_guard lock{mutex_};
  auto out = never;
  for (auto& [peer, link] : links_)
    for (auto which : {lane::control, lane::rows, lane::bulk}) {
      auto& kept = link.lanes[size_t(which)].kept;
      if (!kept.empty())
        out = std::min(out, due(peer, which, kept.front()));
    }
  return out;
}

void link_faults::drop(node_id peer) {
  link gone; // frames may be the last owners of memory: not under the lock
  std::lock_guard lock{mutex_};
  auto& link = links_[peer];
  for (size_t i = 0; i < num_lanes; ++i)
    std::swap(gone.lanes[i].kept, link.lanes[i].kept);
  link.num_bytes = 0;
  link.incarnation.reset();
}

// -- for the transport below --------------------------------------------------

bool link_faults::withholds_heartbeat(node_id peer) {
  std::lock_guard lock{mutex_};
  auto out = false;
  for (auto& rule : rules_)
    if (!rule.is_over && rule.what.peer == peer
        && stops_heartbeats(rule.what)) {
      ++rule.num_hit;
      out = true;
    }
  return out;
}

transport_handler link_faults::listen(transport_handler owner) {
  auto out = owner;
  out.on_peer_joined = [this, tell = owner.on_peer_joined](auto peer,
                                                           auto& who) {
    {
      std::lock_guard lock{mutex_};
      links_[peer].incarnation = who.incarnation;
    }
    if (observe_)
      observe_(peer, true);
    if (tell)
      tell(peer, who);
  };
  out.on_peer_lost =
    [this, tell = owner.on_peer_lost](auto peer, auto incarnation, auto& why) {
      drop(peer);
      if (observe_)
        observe_(peer, false);
      if (tell)
        tell(peer, incarnation, why);
    };
  return out;
}

void link_faults::attach(transport& inner) {
  std::lock_guard guard{door_};
  inner_ = &inner;
}

void link_faults::detach() {
  std::lock_guard guard{door_};
  inner_ = nullptr;
}

void link_faults::set_max_unsent(size_t bytes) {
  std::lock_guard lock{mutex_};
  max_unsent_ = bytes;
}

// -- the decorator ------------------------------------------------------------

faulty_transport::faulty_transport(std::unique_ptr<transport> inner,
                                   std::shared_ptr<link_faults> faults)
  : transport_decorator(std::move(inner)), faults_(std::move(faults)) {
  faults_->attach(this->inner());
}

faulty_transport::~faulty_transport() {
  faults_->detach();
  end_inner();
}

void faulty_transport::send(node_id to, frame_header header, body payload) {
  if (!faults_->keep(to, header, payload))
    inner().send(to, header, std::move(payload));
}

void faulty_transport::set_max_unsent(size_t bytes) {
  faults_->set_max_unsent(bytes);
  inner().set_max_unsent(bytes);
}

} // namespace troupe
