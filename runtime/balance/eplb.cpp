#include "runtime/balance/eplb.hpp"

#include <algorithm>
#include <numeric>

namespace troupe::balance {

namespace {

/// Where each of some weights goes.
struct packing {
  std::vector<uint32_t> pack;
  std::vector<uint32_t> rank; ///< Within its pack, in order of coming.
};

packing pack_evenly(std::span<const double> weights, uint32_t num_packs) {
  auto count = uint32_t(weights.size());
  auto room = count / num_packs;
  packing out{std::vector<uint32_t>(count), std::vector<uint32_t>(count)};
  std::vector<uint32_t> order(count);
  std::iota(order.begin(), order.end(), 0);
  if (room > 1)
    std::ranges::stable_sort(order, std::greater{},
                             [&](auto i) { return weights[i]; });
  // Those with room, the least loaded first; then the lower index.
  std::vector<std::pair<double, uint32_t>> open;
  for (uint32_t p = 0; p < num_packs; ++p)
    open.emplace_back(0, p);
  std::vector<uint32_t> sizes(num_packs);
  for (auto i : order) {
    std::ranges::pop_heap(open, std::greater{});
    auto& [sum, p] = open.back();
    out.pack[i] = room == 1 ? i : p; // As they come.
    out.rank[i] = sizes[p]++;
    sum += weights[i];
    if (sizes[p] < room)
      std::ranges::push_heap(open, std::greater{});
    else
      open.pop_back();
  }
  return out;
}

/// The expert of each of `count` slots.
std::vector<uint32_t> replicate(std::span<const double> loads, uint32_t count) {
  std::vector<uint32_t> out(loads.size());
  std::iota(out.begin(), out.end(), 0);
  std::vector<double> each(loads.begin(), loads.end());
  std::vector<uint32_t> counts(loads.size(), 1);
  while (out.size() < count) {
    auto most = uint32_t(std::ranges::max_element(each) - each.begin());
    out.push_back(most);
    each[most] = loads[most] / ++counts[most];
  }
  return out;
}

/// Appends the slots of one node, whose experts are `held`.
void add_node(std::span<const uint32_t> held, std::span<const double> loads,
              uint32_t num_slots, uint32_t num_workers,
              std::vector<uint32_t>& out) {
  std::vector<double> here;
  for (auto e : held)
    here.push_back(loads[e]);
  auto slots = replicate(here, num_slots);
  std::vector<uint32_t> counts(held.size());
  for (auto i : slots)
    ++counts[i];
  std::vector<double> weights;
  for (auto i : slots)
    weights.push_back(here[i] / counts[i]);
  auto packed = pack_evenly(weights, num_workers);
  auto first = out.size();
  out.resize(first + num_slots);
  for (uint32_t i = 0; i < num_slots; ++i)
    out[first + packed.pack[i] * (num_slots / num_workers) + packed.rank[i]]
      = held[slots[i]];
}

/// The experts of each node, one node behind the other.
std::vector<uint32_t> share_out_groups(const layout_shape& shape,
                                       std::span<const double> loads) {
  auto size = shape.num_experts / shape.num_groups;
  std::vector<double> sums(shape.num_groups);
  for (uint32_t e = 0; e < shape.num_experts; ++e)
    sums[e / size] += loads[e];
  auto packed = pack_evenly(sums, shape.num_nodes);
  auto per_node = shape.num_groups / shape.num_nodes;
  std::vector<uint32_t> out(shape.num_experts);
  for (uint32_t g = 0; g < shape.num_groups; ++g)
    for (uint32_t i = 0; i < size; ++i)
      out[(packed.pack[g] * per_node + packed.rank[g]) * size + i] = g * size
                                                                     + i;
  return out;
}

} // namespace

layer_layout balance_eplb(const layout_shape& given,
                          std::span<const double> loads) {
  auto shape = given;
  if (shape.num_groups % shape.num_nodes != 0)
    shape.num_nodes = shape.num_groups = 1;
  auto order = share_out_groups(shape, loads);
  auto each = shape.num_experts / shape.num_nodes;
  layer_layout out;
  for (uint32_t n = 0; n < shape.num_nodes; ++n)
    add_node(std::span{order}.subspan(n * each, each), loads,
             shape.num_slots / shape.num_nodes,
             shape.num_workers / shape.num_nodes, out.experts);
  out.shares = even_shares(shape, out.experts);
  return out;
}

} // namespace troupe::balance
