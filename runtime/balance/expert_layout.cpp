#include "runtime/balance/expert_layout.hpp"

#include "runtime/formatted.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace troupe::balance {

namespace {

failure invalid(std::string message) {
  return {errc::invalid_input, std::move(message)};
}

/// The largest load of a slot under the best numbers of replicas: the least L
/// with sum of ceil(w / L) <= S. It is some w / k: given one at a time to who
/// has most for each slot, counts are the best, and so is what is left.
double best_slot_load(uint32_t num_slots, uint32_t num_workers,
                      std::span<const double> loads) {
  struct entry {
    double each;
    double load;
    uint32_t count;

    bool operator<(const entry& x) const {
      return each < x.each;
    }
  };

  std::vector<entry> heap;
  heap.reserve(loads.size());
  for (auto w : loads)
    heap.push_back({w, w, 1});
  std::make_heap(heap.begin(), heap.end());
  for (auto left = num_slots - uint32_t(loads.size()); left > 0; --left) {
    auto& top = heap.front();
    if (top.count == num_workers)
      break; // It has them all; no other slot makes it less.
    std::pop_heap(heap.begin(), heap.end());
    auto& x = heap.back();
    x.each = x.load / ++x.count;
    std::push_heap(heap.begin(), heap.end());
  }
  return heap.front().each;
}

double least_whole_load(const layout_shape& shape,
                        std::span<const double> loads) {
  auto parts = int64_t{shape.num_experts} + shape.num_workers - shape.num_slots;
  auto lone = 2 * parts - int64_t{shape.num_workers};
  if (lone <= 0)
    return 0;
  auto each = shape.slots_of_worker();
  std::vector<double> lightest(loads.begin(), loads.end());
  auto count = std::min<size_t>(size_t(lone) * each, lightest.size());
  std::ranges::sort(lightest);
  lightest.resize(count);
  auto mean = std::accumulate(lightest.begin(), lightest.end(), 0.0)
              / double(lone);
  if (each != 2)
    return mean;
  // Pairs: the heaviest goes with the lightest.
  double most = mean;
  for (size_t i = 0; i < count / 2; ++i)
    most = std::max(most, lightest[i] + lightest[count - 1 - i]);
  return most;
}

/// Of the h hottest experts, for each h.
double least_hot_load(const layout_shape& shape,
                      std::span<const double> loads) {
  std::vector<double> sorted(loads.begin(), loads.end());
  std::ranges::sort(sorted);
  auto num = shape.num_experts;
  std::vector<double> sums(num + 1); // Of the lightest.
  for (uint32_t i = 0; i < num; ++i)
    sums[i + 1] = sums[i] + sorted[i];
  auto redundant = shape.num_slots - num;
  auto each = int64_t{shape.slots_of_worker()};
  double most = 0;
  for (uint32_t h = 1; h <= num; ++h) {
    auto load = [&](uint32_t workers) {
      auto others = each * workers - redundant - h;
      auto light = std::clamp<int64_t>(others, 0, num - h);
      return (sums[num] - sums[num - h] + sums[light]) / workers;
    };
    auto workers = std::min(redundant + h, shape.num_workers);
    auto least = load(workers);
    for (; workers > 1; --workers) { // It falls to its only low.
      auto fewer = load(workers - 1);
      if (fewer > least)
        break;
      least = fewer;
    }
    most = std::max(most, least);
    if (redundant + h >= shape.num_workers)
      break; // More are anywhere.
  }
  return most;
}

} // namespace

result<void> check_shape(const layout_shape& x) {
  if (x.num_experts == 0 || x.num_experts > max_experts)
    return invalid(formatted("%u experts are none or too many", x.num_experts));
  if (x.num_slots == 0 || x.num_slots > max_slots)
    return invalid(formatted("%u slots are none or too many", x.num_slots));
  if (x.num_workers == 0 || x.num_slots % x.num_workers != 0)
    return invalid(formatted("%u slots cannot be shared out evenly among %u "
                             "GPUs",
                             x.num_slots, x.num_workers));
  if (x.num_nodes == 0 || x.num_workers % x.num_nodes != 0)
    return invalid(formatted("%u GPUs cannot be shared out evenly among %u "
                             "nodes",
                             x.num_workers, x.num_nodes));
  if (x.num_groups == 0 || x.num_experts % x.num_groups != 0)
    return invalid(formatted("%u experts do not make %u equal groups",
                             x.num_experts, x.num_groups));
  if (x.num_slots < x.num_experts)
    return invalid(formatted("%u slots are too few for %u experts", x.num_slots,
                             x.num_experts));
  if (x.num_slots > uint64_t{x.num_experts} * x.num_workers)
    return invalid(formatted("%u slots are more than each of %u experts once "
                             "on each of %u GPUs",
                             x.num_slots, x.num_experts, x.num_workers));
  return {};
}

layer_layout first_layout(const layout_shape& shape) {
  layer_layout out;
  for (uint32_t s = 0; s < shape.num_slots; ++s)
    out.experts.push_back(s % shape.num_experts);
  out.shares = even_shares(shape, out.experts);
  return out;
}

std::vector<double> even_shares(const layout_shape& shape,
                                std::span<const uint32_t> experts) {
  std::vector<uint32_t> counts(shape.num_experts);
  for (auto e : experts)
    ++counts[e];
  std::vector<double> out;
  out.reserve(experts.size());
  for (auto e : experts)
    out.push_back(1.0 / counts[e]);
  return out;
}

std::vector<double> worker_loads(const layout_shape& shape,
                                 const layer_layout& layout,
                                 std::span<const double> loads) {
  std::vector<double> out(shape.num_workers);
  for (uint32_t s = 0; s < shape.num_slots; ++s)
    out[shape.worker_of(s)] += layout.shares[s] * loads[layout.experts[s]];
  return out;
}

double balance_of(std::span<const double> x) {
  auto most = *std::ranges::max_element(x);
  auto mean = std::accumulate(x.begin(), x.end(), 0.0) / double(x.size());
  return most > 0 ? mean / most : 1;
}

uint32_t count_moves(const layout_shape& shape, std::span<const uint32_t> from,
                     std::span<const uint32_t> to) {
  auto each = shape.slots_of_worker();
  uint32_t out = 0;
  for (uint32_t s = 0; s < to.size(); ++s) {
    auto first = s / each * each;
    auto here = to.subspan(first, each);
    auto is_again = std::ranges::find(here, to[s]) != here.begin() + s - first;
    auto was_here = !from.empty()
                    && std::ranges::count(from.subspan(first, each), to[s]) > 0;
    out += !is_again && !was_here;
  }
  return out;
}

double least_largest_load(const layout_shape& shape,
                          std::span<const double> loads) {
  auto mean = std::accumulate(loads.begin(), loads.end(), 0.0)
              / shape.num_workers;
  return std::max(
    {mean, best_slot_load(shape.num_slots, shape.num_workers, loads),
     least_hot_load(shape, loads), least_whole_load(shape, loads)});
}

} // namespace troupe::balance
