#include "runtime/sim/sometimes_states.hpp"

#include "runtime/dispatch/dispatch_key.hpp"
#include "runtime/sim/fault.hpp"
#include "runtime/transport/transport.hpp"

#include <algorithm>
#include <array>

namespace troupe {

namespace {

constexpr std::array<std::string_view, num_sometimes> names = {
  "stale_frame_refused",
  "damaged_frame_refused",
  "duplicate_rows_refused",
  "cancelled_with_rows_away",
  "block_freed_late",
  "request_failed",
  "request_moved",
  "step_again",
  "node_came_back",
  "node_came_later",
  "request_waited",
  "request_refused_overloaded",
  "client_vanished",
  "preempted",
  "prompt_in_chunks",
  "stream_failed",
  "allocation_failed",
  "retransmitted",
  "change_done",
  "change_aborted",
  "rows_of_two_epochs",
  "expert_waited",
  "experts_balanced",
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
      if (num_faults_ > 0)
        reach(sometimes::two_faults_at_once);
      num_faults_ += form_of(fault_kind(x.b)).lasts ? 1 : 0;
      if (num_open_ == 0)
        reach(sometimes::faults_while_idle);
      break;
    case trace_kind::fault_healed:
      num_faults_ -= form_of(fault_kind(x.b)).lasts && num_faults_ > 0 ? 1 : 0;
      break;
    case trace_kind::frame_sent:
    case trace_kind::frame_arrived:
    case trace_kind::frame_refused:
      hear_of_frame(x);
      break;
    default:
      hear_of_node(x);
  }
}

/// Rows that a rank has sent to other nodes are away until each of these has
/// answered for the first time.
void sometimes_states::hear_of_frame(const trace_entry& x) {
  if (x.kind == trace_kind::frame_refused) {
    if (x.frame == frame_class::combine && refusal(x.b) == refusal::repeated)
      reach(sometimes::duplicate_rows_refused);
    return;
  }
  auto id = rows_id::unpack(x.a);
  if (x.kind == trace_kind::frame_sent && x.frame == frame_class::dispatch) {
    auto& rank = ranks_[id.rank];
    if (rank.serial != id.serial)
      rank = {id.serial, x.node, {}};
    rank.asked.insert(x.peer);
  } else if (x.kind == trace_kind::frame_arrived
             && x.frame == frame_class::combine) {
    auto rank = ranks_.find(id.rank);
    if (rank != ranks_.end() && rank->second.serial == id.serial)
      rank->second.asked.erase(x.peer);
  }
}

bool sometimes_states::all_have_rows_away() const {
  auto is_away = [](auto& x) { return !x.second.asked.empty(); };
  return !ranks_.empty() && std::ranges::all_of(ranks_, is_away);
}

bool sometimes_states::has_rows_away(node_id node) const {
  return std::ranges::any_of(ranks_, [=](auto& x) {
    return x.second.node == node && !x.second.asked.empty();
  });
}

void sometimes_states::cancelled(uint32_t num_heard) {
  if (num_heard > 0 && all_have_rows_away())
    reach(sometimes::cancelled_with_rows_away);
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
