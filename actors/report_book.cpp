#include "actors/report_book.hpp"

#include <algorithm>

namespace troupe {

namespace {

/// What a process has; with its end it is gone.
constexpr counter gauges[] = {
  counter::running,        counter::waiting,          counter::kv_blocks_total,
  counter::kv_blocks_free, counter::kv_blocks_cached, counter::placement_epoch,
  counter::last_change_us, counter::experts_waiting,  counter::slots_free,
  counter::slots_loading,  counter::slots_serving,    counter::slots_retiring,
  counter::store_blocks,   counter::store_off,        counter::host_blocks,
  counter::grammar_bytes};

/// Adds what a process has counted that is over. Whom it had counts with its
/// successor.
void add(const node_report& from, node_report& to) {
  auto is_added = [](counter x) {
    return std::ranges::find(gauges, x) == std::end(gauges)
           && x != counter::ranks_used && x != counter::workers_used;
  };
  for (size_t i = 0; i < num_counters; ++i)
    if (is_added(counter(i)))
      to.values[i] += from.values[i];
  to.network.bytes_sent += from.network.bytes_sent;
  to.network.strangers_dropped += from.network.strangers_dropped;
  for (size_t i = 0; i < size_t(refusal::num_refusals); ++i)
    to.network.frames_refused[i] += from.network.frames_refused[i];
}

} // namespace

void report_book::open(gateway_status& status, size_t num_nodes) {
  std::lock_guard lock{status.mutex};
  status.reports.resize(num_nodes);
  status.loads.resize(num_nodes);
  status.former.resize(num_nodes);
}

bool report_book::take(const node_report& msg) {
  auto last = over_.find(msg.node);
  auto is_over = last != over_.end() && last->second == msg.incarnation;
  {
    std::lock_guard lock{status_->mutex};
    if (msg.node >= status_->reports.size())
      return false;
    auto& known = status_->reports[msg.node];
    auto is_another = known.incarnation != 0
                      && known.incarnation != msg.incarnation;
    if (is_another && is_over)
      return false; // its successor has been heard already
    if (is_another)
      add(known, status_->former[msg.node]);
    known = msg;
    known.loads = nullptr;
    if (msg.loads)
      status_->loads[msg.node] = msg.loads;
  }
  if (is_over)
    forget_gauges(msg.node); // it was on its way
  return !is_over;
}

void report_book::lose(node_id node, uint64_t incarnation) {
  over_[node] = incarnation;
  forget_gauges(node);
}

void report_book::forget_gauges(node_id node) {
  std::lock_guard lock{status_->mutex};
  auto& values = status_->reports[node].values;
  for (auto x : gauges)
    values[size_t(x)] = 0;
}

} // namespace troupe
