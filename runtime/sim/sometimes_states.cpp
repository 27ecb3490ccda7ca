#include "runtime/sim/sometimes_states.hpp"

#include <array>

namespace troupe {

namespace {

constexpr std::array<std::string_view, num_sometimes> names = {
  "stale_frame_refused",
  "damaged_frame_refused",
  "duplicate_rows_refused",
  "late_write_landed",
  "cancelled_with_rows_away",
  "block_freed_late",
  "request_failed",
  "request_refused_overloaded",
  "client_vanished",
  "preempted",
  "prompt_in_chunks",
  "allocation_failed_survived",
  "stream_failed",
  "retransmitted",
  "wrong_suspicion",
  "pause_survived",
  "killed_with_requests_open",
  "two_faults_at_once",
  "peer_came_back",
  "faults_while_idle",
};

static_assert(!names.back().empty(), "every state has a name");

} // namespace

std::string_view to_string(sometimes x) {
  return names.at(size_t(x));
}

sometimes_states::sometimes_states(uint32_t num_nodes) : nodes_(num_nodes) {
}

void sometimes_states::hear(const trace_entry& x) {
  switch (x.kind) {
    case trace_kind::request_accepted:
      ++num_open_;
      break;
    case trace_kind::request_ended:
      num_open_ -= num_open_ > 0 ? 1 : 0;
      break;
    case trace_kind::fault_began:
      if (num_faults_++ > 0)
        reach(sometimes::two_faults_at_once);
      if (num_open_ == 0)
        reach(sometimes::faults_while_idle);
      break;
    case trace_kind::fault_healed:
      num_faults_ -= num_faults_ > 0 ? 1 : 0;
      break;
    default:
      hear_of_node(x);
  }
}

void sometimes_states::hear_of_node(const trace_entry& x) {
  auto about = x.kind == trace_kind::peer_lost
                   || x.kind == trace_kind::peer_joined
                 ? x.peer
                 : x.node;
  if (about >= nodes_.size())
    return;
  auto& node = nodes_[about];
  switch (x.kind) {
    case trace_kind::node_started:
      node.is_alive = true;
      node.is_paused = false;
      break;
    case trace_kind::node_ended:
      if (node.is_alive && num_open_ > 0)
        reach(sometimes::killed_with_requests_open);
      node.is_alive = false;
      break;
    case trace_kind::node_paused:
      node.is_paused = true;
      node.was_suspected = false;
      break;
    case trace_kind::node_resumed:
      if (node.is_paused && !node.was_suspected)
        reach(sometimes::pause_survived);
      node.is_paused = false;
      break;
    case trace_kind::peer_lost:
      if (node.is_alive)
        reach(sometimes::wrong_suspicion);
      node.was_lost = node.was_suspected = true;
      break;
    case trace_kind::peer_joined:
      if (node.was_lost)
        reach(sometimes::peer_came_back);
      break;
    default:
      break;
  }
}

void sometimes_tally::add(const sometimes_states& x) {
  for (size_t i = 0; i < num_sometimes; ++i)
    counts_[i] += x.has(sometimes(i)) ? 1 : 0;
}

std::vector<std::string> sometimes_tally::unreached() const {
  std::vector<std::string> out;
  for (size_t i = 0; i < num_sometimes; ++i)
    if (counts_[i] == 0)
      out.emplace_back(names[i]);
  return out;
}

} // namespace troupe
