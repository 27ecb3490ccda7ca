#include "runtime/balance/expert_balancer.hpp"

#include "kernels/check.hpp"
#include "runtime/balance/eplb.hpp"
#include "runtime/balance/pair_packing.hpp"
#include "runtime/balance/slot_packing.hpp"

#include <algorithm>
#include <numeric>

namespace troupe::balance {

namespace {

// A worker that has hardly more than the least that is possible is not worth
// a copy.
constexpr double close_enough = 1.0004;

constexpr size_t max_steps = 1000;

/// Takes steps until there are none or so many copies.
std::vector<layout_step> search(slot_search& from, double most) {
  std::vector<layout_step> out;
  size_t counted = 0;
  double copies = 0;
  while (copies <= most && out.size() < max_steps && from.improve(out))
    for (; counted < out.size(); ++counted)
      copies += out[counted].num_moves();
  return out;
}

/// With the best shares.
layer_layout solved(slot_flow flow) {
  flow.solve();
  flow.level_out();
  return flow.layout();
}

} // namespace

size_t worth_taking(const std::vector<layout_step>& steps, double price,
                    double most) {
  size_t out = 0;
  double best = 0, copies = 0;
  for (size_t i = 0; i < steps.size(); ++i) {
    copies += steps[i].num_moves();
    if (copies > most)
      break;
    auto gain = steps[0].before - steps[i].after - price * copies;
    if (gain <= best)
      continue;
    best = gain;
    out = i + 1;
  }
  return out;
}

layer_plan expert_balancer::plan(const layer_state& x) {
  CHECK(x.loads.size() == x.shape.num_experts);
  return x.present ? improve(x) : fill(x);
}

layer_plan expert_balancer::fill(const layer_state& x) const {
  auto least = least_largest_load(x.shape, x.loads);
  auto eplb = balance_eplb(x.shape, x.loads);
  auto limit = std::ranges::max(worker_loads(x.shape, eplb, x.loads));
  if (has_pairs(x.shape)) {
    slot_flow flow{x.shape, pack_pairs(x.shape, x.loads), x.loads};
    if (flow.solve() <= limit)
      return {{}, solved(std::move(flow))};
  } else {
    slot_flow flow{x.shape, pack_slots(x.shape, x.loads), x.loads};
    flow.solve();
    slot_search from{std::move(flow), least * close_enough};
    search(from, x.shape.num_slots);
    if (from.solve() <= limit)
      return {{}, solved(from.flow())};
  }
  // Where the greedy one is lucky: it is where exchanges begin.
  slot_search from{{x.shape, spread_workers(x.shape, eplb.experts), x.loads},
                   least * close_enough};
  std::vector<layout_step> mended;
  from.mend(mended);
  search(from, x.shape.num_slots);
  return {{}, solved(from.flow())};
}

layer_plan expert_balancer::improve(const layer_state& x) const {
  auto sum = std::accumulate(x.loads.begin(), x.loads.end(), 0.0);
  if (sum <= 0)
    return {{}, *x.present};
  auto least = least_largest_load(x.shape, x.loads);
  auto& was = x.present->experts;
  slot_flow before{x.shape, was, x.loads};
  before.solve();
  slot_search from{std::move(before), least * close_enough};
  layer_plan out;
  from.mend(out.steps);
  auto most = options_.most_copied * x.shape.num_slots;
  auto steps = search(from, most);
  steps.resize(
    worth_taking(steps, options_.least_gain * sum / x.shape.num_workers, most));
  out.steps.insert(out.steps.end(), steps.begin(), steps.end());
  auto experts = was;
  for (auto& step : out.steps) {
    experts[step.first.slot] = step.first.expert;
    if (step.second)
      experts[step.second->slot] = step.second->expert;
  }
  out.layout = solved({x.shape, experts, x.loads});
  return out;
}

} // namespace troupe::balance
