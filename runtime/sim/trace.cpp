#include "runtime/sim/trace.hpp"

#include "runtime/sim/random_stream.hpp"

#include <array>
#include <bit>
#include <cstdio>

namespace troupe {

namespace {

constexpr std::array<std::string_view, num_trace_kinds> names = {
  "message_run",   "frame_sent",        "frame_arrived",    "frame_refused",
  "peer_joined",   "peer_lost",         "operation_ended",  "operation_failed",
  "allocation",    "allocation_failed", "request_accepted", "token_emitted",
  "request_ended", "node_started",      "node_paused",      "node_resumed",
  "node_ended",    "fault_began",       "fault_healed",
};

static_assert(!names.back().empty(), "every kind has a name");

std::string_view name_of(frame_class kind) {
  switch (kind) {
    case frame_class::hello:
      return "hello";
    case frame_class::heartbeat:
      return "heartbeat";
    case frame_class::control:
      return "control";
    case frame_class::dispatch:
      return "dispatch";
    case frame_class::combine:
      return "combine";
    case frame_class::bulk:
      return "bulk";
  }
  return "damaged";
}

} // namespace

std::string_view to_string(trace_kind kind) {
  return names.at(size_t(kind));
}

std::optional<trace_kind> parse_trace_kind(std::string_view name) {
  for (size_t i = 0; i < names.size(); ++i)
    if (names[i] == name)
      return trace_kind(i);
  return std::nullopt;
}

std::string to_string(const trace_entry& x) {
  auto since = std::chrono::nanoseconds{x.at - world_begin}.count();
  char begin[64];
  std::snprintf(begin, sizeof begin, "%lld.%09lld s  ",
                (long long)(since / 1'000'000'000),
                (long long)(since % 1'000'000'000));
  std::string out = begin;
  out += x.node == no_node ? "world" : "node " + std::to_string(x.node);
  out.append("  ").append(to_string(x.kind));
  if (x.frame != frame_class{})
    out.append(" ").append(name_of(x.frame));
  if (x.peer != no_node)
    out += ", peer " + std::to_string(x.peer);
  char end[64];
  std::snprintf(end, sizeof end, "  %llx %llx", (unsigned long long)x.a,
                (unsigned long long)x.b);
  return out + end;
}

void trace::record(const trace_entry& x) {
  add(x);
  if (observers_.empty())
    return;
  if (is_telling_)
    return untold_.push_back(x);
  is_telling_ = true;
  tell(x);
  for (size_t i = 0; i < untold_.size(); ++i) {
    auto next = untold_[i]; // The list may grow meanwhile.
    tell(next);
  }
  untold_.clear();
  is_telling_ = false;
}

void trace::tell(const trace_entry& x) {
  for (auto& observer : observers_)
    observer(x);
}

void trace::observe(observer x) {
  CHECK(x && !is_telling_);
  observers_.push_back(std::move(x));
}

void trace::add(const trace_entry& x) {
  auto who = uint64_t(x.kind) << 40 | uint64_t(x.frame) << 32
             | uint64_t{x.node} << 16 | x.peer;
  auto at = uint64_t(x.at.time_since_epoch().count());
  // Of three numbers that do not wait for each other, and the hash before.
  auto what = random_stream::mix(x.a) + std::rotl(random_stream::mix(x.b), 21)
              + std::rotl(random_stream::mix(at), 42);
  hash_ = random_stream::mix(random_stream::mix(hash_ ^ who) ^ what);
  ++counts_[size_t(x.kind)];
  if (ring_.size() < num_kept)
    ring_.push_back(x);
  else
    ring_[num_entries_ % num_kept] = x;
  ++num_entries_;
}

std::vector<trace_entry> trace::last() const {
  std::vector<trace_entry> out;
  auto first = num_entries_ - ring_.size();
  for (size_t i = 0; i < ring_.size(); ++i)
    out.push_back(ring_[(first + i) % num_kept]);
  return out;
}

} // namespace troupe
