#include "runtime/balance/slot_flow.hpp"

#include "kernels/check.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

namespace troupe::balance {

namespace {

// Of the mean load of a worker: what does not count.
constexpr double little = 1e-4;
constexpr double nothing = 1e-10;

constexpr int max_relieved = 64;
constexpr uint32_t max_sweeps = 8;

} // namespace

slot_flow::slot_flow(const layout_shape& shape,
                     std::span<const uint32_t> experts,
                     std::span<const double> loads)
  : shape_(shape), loads_(loads.begin(), loads.end()),
    expert_(experts.begin(), experts.end()), worker_(shape.num_slots),
    next_(shape.num_slots, none), flow_(shape.num_slots),
    first_(shape.num_experts, none), count_(shape.num_experts),
    level_(shape.num_workers), is_queued_(shape.num_experts),
    came_from_(shape.num_workers), came_by_(shape.num_workers) {
  for (uint32_t s = 0; s < shape.num_slots; ++s) {
    auto e = expert_[s];
    worker_[s] = shape.worker_of(s);
    next_[s] = first_[e];
    first_[e] = s;
    ++count_[e];
  }
  for (uint32_t s = 0; s < shape.num_slots; ++s) {
    flow_[s] = loads_[expert_[s]] / count_[expert_[s]];
    level_[worker_[s]] += flow_[s];
  }
  auto each = shape.slots_of_worker();
  for (uint32_t s = 0; s < shape.num_slots && !has_twins_; ++s)
    for (auto t = s / each * each; t < s; ++t)
      has_twins_ = has_twins_ || expert_[t] == expert_[s];
  mean_ = std::accumulate(loads_.begin(), loads_.end(), 0.0)
          / shape.num_workers;
}

bool slot_flow::holds(uint32_t worker, uint32_t expert) const {
  auto each = shape_.slots_of_worker();
  auto here = std::span{expert_}.subspan(size_t{worker} * each, each);
  return std::ranges::find(here, expert) != here.end();
}

uint32_t slot_flow::fullest() const {
  return uint32_t(std::ranges::max_element(level_) - level_.begin());
}

layer_layout slot_flow::layout() const {
  layer_layout out{expert_, std::vector<double>(shape_.num_slots)};
  for (uint32_t s = 0; s < shape_.num_slots; ++s) {
    auto e = expert_[s];
    out.shares[s] = loads_[e] > 0 ? std::clamp(flow_[s] / loads_[e], 0.0, 1.0)
                                  : 1.0 / count_[e];
  }
  return out;
}

void slot_flow::put(uint32_t slot, uint32_t expert) {
  auto old = expert_[slot];
  auto at = &first_[old];
  while (*at != slot)
    at = &next_[*at];
  *at = next_[slot];
  --count_[old];
  level_[worker_[slot]] -= flow_[slot];
  flow_[slot] = 0;
  expert_[slot] = expert;
  next_[slot] = first_[expert];
  first_[expert] = slot;
  ++count_[expert];
}

/// Gives the rows of a slot to the one before it that the same expert has on
/// the same worker. Returns false if there is none.
bool slot_flow::join_twin(uint32_t slot) {
  for (auto s = first_[expert_[slot]]; s != slot; s = next_[s])
    if (worker_[s] == worker_[slot]) {
      flow_[s] += std::exchange(flow_[slot], 0.0);
      return true;
    }
  return false;
}

/// Returns the largest change of a slot's flow.
double slot_flow::pour(uint32_t expert) {
  CHECK(count_[expert] > 0);
  room_.clear();
  for (auto s = first_[expert]; has_twins_ && s != none; s = next_[s])
    join_twin(s);
  for (auto s = first_[expert]; s != none; s = next_[s]) {
    auto w = worker_[s];
    if (has_twins_ && join_twin(s))
      continue; // Once for each worker.
    std::pair x{level_[w] - flow_[s], s};
    auto at = room_.end();
    room_.push_back(x);
    for (at = room_.end() - 1; at != room_.begin() && x < at[-1]; --at)
      *at = at[-1];
    *at = x;
  }
  auto left = loads_[expert];
  size_t used = 1;
  auto sum = room_[0].first;
  while (used < room_.size() && room_[used].first * double(used) - sum < left)
    sum += room_[used++].first;
  auto surface = (sum + left) / double(used);
  double changed = 0;
  for (size_t i = 0; i < room_.size(); ++i) {
    auto [base, s] = room_[i];
    auto x = i < used ? surface - base : 0;
    changed = std::max(changed, std::abs(x - flow_[s]));
    flow_[s] = x;
    level_[worker_[s]] = base + x;
  }
  return changed;
}

void slot_flow::push_changed(uint32_t worker) {
  auto each = shape_.slots_of_worker();
  for (auto s = worker * each; s < (worker + 1) * each; ++s) {
    auto e = expert_[s];
    if (count_[e] < 2 || is_queued_[e])
      continue;
    is_queued_[e] = true;
    queue_.push_back(e);
  }
}

void slot_flow::settle(std::span<const uint32_t> experts, uint32_t limit) {
  queue_.clear();
  for (auto e : experts) {
    is_queued_[e] = true;
    queue_.push_back(e);
  }
  size_t at = 0;
  for (; at < queue_.size() && at < limit + experts.size(); ++at) {
    auto e = queue_[at];
    if (pour(e) >= little * mean_)
      for (auto s = first_[e]; s != none; s = next_[s])
        push_changed(worker_[s]);
    is_queued_[e] = false; // Only now: it lies as it should.
  }
  for (; at < queue_.size(); ++at)
    is_queued_[queue_[at]] = false;
}

/// Looks for a worker below `limit` that rows of `from` can flow to, and moves
/// as many as need to and can. Returns them, or 0 if there is no way; then
/// `queue_` holds whom rows of `from` can reach at all.
double slot_flow::push_path(uint32_t from, double limit) {
  auto each = shape_.slots_of_worker();
  std::ranges::fill(came_from_, none);
  queue_.assign(1, from);
  for (size_t at = 0; at < queue_.size(); ++at) {
    auto g = queue_[at];
    for (auto s = g * each; s < (g + 1) * each; ++s) {
      if (count_[expert_[s]] < 2 || flow_[s] <= nothing * mean_)
        continue;
      for (auto t = first_[expert_[s]]; t != none; t = next_[t]) {
        auto to = worker_[t];
        if (to == from || came_from_[to] != none)
          continue;
        came_from_[to] = s;
        came_by_[to] = t;
        if (level_[to] < limit - nothing * mean_) {
          auto amount = std::min(level_[from] - limit, limit - level_[to]);
          for (auto x = to; x != from; x = worker_[came_from_[x]])
            amount = std::min(amount, flow_[came_from_[x]]);
          for (auto x = to; x != from; x = worker_[came_from_[x]]) {
            flow_[came_from_[x]] -= amount;
            flow_[came_by_[x]] += amount;
          }
          level_[from] -= amount;
          level_[to] += amount;
          return amount;
        }
        queue_.push_back(to);
      }
    }
  }
  return 0;
}

double slot_flow::relieve() {
  for (int i = 0; i < max_relieved; ++i) {
    auto g = fullest();
    push_path(g, 0); // Nobody is below: finds all who can take rows of it.
    double sum = 0;
    for (auto x : queue_)
      sum += level_[x];
    auto limit = sum / double(queue_.size());
    if (level_[g] <= limit * (1 + 1e-6))
      break;
    while (level_[g] > limit * (1 + 1e-7) && push_path(g, limit) > 0)
      ;
  }
  return level_[fullest()];
}

double slot_flow::solve() {
  auto limit = mean_;
  for (uint32_t g = 0; g < shape_.num_workers; ++g) {
    while (level_[g] > limit + nothing * mean_) {
      if (push_path(g, limit) > 0)
        continue;
      // What these have flows to nobody else: together they stay as full.
      double sum = 0;
      for (auto x : queue_)
        sum += level_[x];
      limit = std::max(limit, sum / double(queue_.size()));
    }
  }
  return std::max(limit, level_[fullest()]);
}

void slot_flow::level_out() {
  std::vector<uint32_t> shared;
  for (uint32_t e = 0; e < shape_.num_experts; ++e)
    if (count_[e] > 1)
      shared.push_back(e);
  settle(shared, max_sweeps * uint32_t(shared.size()));
}

void slot_flow::save(amounts& out) const {
  out.flow = flow_;
  out.level = level_;
}

void slot_flow::restore(const amounts& x) {
  flow_ = x.flow;
  level_ = x.level;
}

} // namespace troupe::balance
