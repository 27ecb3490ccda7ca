#include "runtime/transport/frame_gate.hpp"

namespace troupe {

frame_gate::frame_gate(uint32_t cluster, uint64_t incarnation,
                       std::function<bool(uint64_t)> is_over)
  : cluster_(cluster), incarnation_(incarnation), is_over_(std::move(is_over)) {
  CHECK(incarnation != 0 && is_over_);
}

void frame_gate::set_view(uint32_t view) {
  view_ = view;
}

result<void> frame_gate::add_peer(node_id peer, uint64_t incarnation) {
  std::lock_guard guard{mutex_};
  CHECK(incarnation != 0);
  if (peers_.contains(incarnation) || incarnations_.contains(peer))
    return failure{errc::refused, "the node is connected already"};
  incarnations_[peer] = incarnation;
  peers_[incarnation] = {peer};
  return {};
}

bool frame_gate::remove_peer(node_id peer, uint64_t incarnation) {
  std::lock_guard guard{mutex_};
  auto i = incarnations_.find(peer);
  if (i == incarnations_.end() || i->second != incarnation)
    return false;
  peers_.erase(i->second);
  incarnations_.erase(i);
  return true;
}

uint64_t frame_gate::incarnation_of(node_id peer) const {
  std::lock_guard guard{mutex_};
  auto i = incarnations_.find(peer);
  return i == incarnations_.end() ? 0 : i->second;
}

std::optional<node_id> frame_gate::find(uint64_t incarnation) const {
  std::lock_guard guard{mutex_};
  auto i = peers_.find(incarnation);
  return i == peers_.end() ? std::nullopt : std::optional{i->second.id};
}

std::variant<node_id, refusal>
frame_gate::judge(const frame_header& header,
                  const std::optional<lane_counts>& waiting) {
  auto verdict = decide(header, waiting);
  if (auto why = std::get_if<refusal>(&verdict))
    count(*why);
  return verdict;
}

std::optional<node_id>
frame_gate::judge_damaged(std::span<const std::byte> header) {
  count(refusal::damaged);
  if (header.size() != frame_header::size)
    return std::nullopt;
  return find(source_of(header.first<frame_header::size>()));
}

std::variant<node_id, refusal>
frame_gate::decide(const frame_header& header,
                   const std::optional<lane_counts>& waiting) {
  if (header.cluster != cluster_)
    return refusal::foreign;
  if (header.destination != incarnation_)
    return refusal::stale;
  auto verdict = decide_order(header, waiting);
  auto why = std::get_if<refusal>(&verdict);
  if (why && *why == refusal::unknown_peer && is_over_(header.source))
    return refusal::stale;
  return verdict;
}

std::variant<node_id, refusal>
frame_gate::decide_order(const frame_header& header,
                         const std::optional<lane_counts>& waiting) {
  std::lock_guard guard{mutex_};
  auto i = peers_.find(header.source);
  if (i == peers_.end())
    return refusal::unknown_peer;
  auto& [id, order] = i->second;
  auto verdict = order.decide(header);
  if (verdict == frame_order::verdict::repeated)
    return refusal::repeated;
  auto is_sign = header.kind == frame_class::heartbeat;
  if (verdict == frame_order::verdict::gap
      || (is_sign && waiting && order.misses(header, *waiting)))
    return refusal::ahead;
  return id;
}

void frame_gate::count(refusal why) {
  ++refused_[size_t(why)];
}

uint64_t frame_gate::refused(refusal why) const {
  return refused_[size_t(why)];
}

transport_stats frame_gate::stats() const {
  transport_stats out;
  for (size_t i = 0; i < size_t(refusal::num_refusals); ++i)
    out.frames_refused[i] = refused(refusal(i));
  return out;
}

void frame_gate::stamp(frame_header& header, uint64_t destination,
                       size_t length) const {
  CHECK(header.kind != frame_class::bulk || length <= max_bulk_bytes);
  header.version = frame_header::version_value;
  header.cluster = cluster_;
  header.source = incarnation_;
  header.destination = destination;
  header.view = view_;
  header.length = uint32_t(length);
}

bool frame_gate::number(frame_header& header) {
  header.sequence = 0;
  if (header.kind == frame_class::hello)
    return true; // Before its destination is known.
  std::lock_guard guard{mutex_};
  auto i = peers_.find(header.destination);
  if (i == peers_.end())
    return false;
  auto& order = i->second.order;
  header.sequence = order.number(header.kind);
  if (header.kind == frame_class::heartbeat)
    header.first = order.announcement();
  return true;
}

} // namespace troupe
