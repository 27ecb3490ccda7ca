#include "runtime/balance/slot_packing.hpp"

#include "kernels/check.hpp"

#include <algorithm>
#include <numeric>

namespace troupe::balance {

namespace {

std::vector<uint32_t> count_replicas(const layout_shape& shape,
                                     std::span<const double> loads) {
  std::vector<uint32_t> out(shape.num_experts, 1);
  std::vector<std::pair<double, uint32_t>> each;
  for (uint32_t e = 0; e < shape.num_experts; ++e)
    each.emplace_back(loads[e], e);
  std::make_heap(each.begin(), each.end());
  for (auto left = shape.num_slots - shape.num_experts; left > 0;) {
    CHECK(!each.empty());
    std::pop_heap(each.begin(), each.end());
    auto& [load, e] = each.back();
    if (out[e] == shape.num_workers) {
      each.pop_back();
      continue;
    }
    load = loads[e] / ++out[e];
    --left;
    std::push_heap(each.begin(), each.end());
  }
  return out;
}

class slot_packer {
public:
  slot_packer(const layout_shape& shape, std::span<const double> loads)
    : shape_(shape), loads_(loads), counts_(count_replicas(shape, loads)),
      held_(shape.num_workers), sums_(shape.num_workers),
      of_node_(size_t{shape.num_nodes} * shape.num_experts) {
  }

  std::vector<uint32_t> run() {
    std::vector<uint32_t> order;
    for (uint32_t e = 0; e < shape_.num_experts; ++e)
      order.insert(order.end(), counts_[e], e);
    std::ranges::stable_sort(order, std::greater{},
                             [&](auto e) { return loads_[e] / counts_[e]; });
    for (auto e : order) {
      auto to = find(e, true);
      to = to == none ? find(e, false) : to;
      add(to == none ? make_room(e) : to, e);
    }
    std::vector<uint32_t> out;
    for (auto& x : held_)
      out.insert(out.end(), x.begin(), x.end());
    return out;
  }

private:
  static constexpr uint32_t none = UINT32_MAX;

  bool holds(uint32_t worker, uint32_t expert) const {
    auto& here = held_[worker];
    return std::ranges::find(here, expert) != here.end();
  }

  uint32_t& of_node(uint32_t worker, uint32_t expert) {
    return of_node_[shape_.node_of(worker) * size_t{shape_.num_experts}
                    + expert];
  }

  uint32_t find(uint32_t expert, bool is_spread) {
    auto best = none;
    auto most = most_of_node(shape_, counts_[expert]);
    for (uint32_t w = 0; w < shape_.num_workers; ++w)
      if (held_[w].size() < shape_.slots_of_worker()
          && (best == none || sums_[w] < sums_[best])
          && (counts_[expert] == 1
              || (!holds(w, expert)
                  && (!is_spread || of_node(w, expert) < most))))
        best = w;
    return best;
  }

  void add(uint32_t worker, uint32_t expert) {
    held_[worker].push_back(expert);
    sums_[worker] += loads_[expert] / counts_[expert];
    ++of_node(worker, expert);
  }

  /// Everybody with room has the expert already: one of them gets something
  /// of a worker that does not. That one is full, and the other is not, so it
  /// has something that the other lacks.
  uint32_t make_room(uint32_t expert) {
    uint32_t to = 0, from = 0;
    while (held_[to].size() == shape_.slots_of_worker())
      ++to;
    while (holds(from, expert))
      CHECK(++from < shape_.num_workers);
    auto& here = held_[from];
    auto x = std::ranges::find_if(here, [&](auto e) { return !holds(to, e); });
    CHECK(x != here.end());
    auto moved = *x;
    here.erase(x);
    sums_[from] -= loads_[moved] / counts_[moved];
    --of_node(from, moved);
    add(to, moved);
    return from;
  }

  const layout_shape& shape_;
  std::span<const double> loads_;
  std::vector<uint32_t> counts_;            ///< [experts]
  std::vector<std::vector<uint32_t>> held_; ///< [workers]
  std::vector<double> sums_;                ///< [workers]
  std::vector<uint32_t> of_node_;           ///< [nodes, experts]
};

} // namespace

std::vector<uint32_t> pack_slots(const layout_shape& shape,
                                 std::span<const double> loads) {
  return slot_packer{shape, loads}.run();
}

std::vector<uint32_t> spread_workers(const layout_shape& shape,
                                     std::span<const uint32_t> experts) {
  auto each = shape.slots_of_worker();
  auto per_node = shape.num_workers / shape.num_nodes;
  std::vector<uint32_t> counts(shape.num_experts), sizes(shape.num_nodes);
  for (auto e : experts)
    ++counts[e];
  std::vector<uint32_t> of_node(size_t{shape.num_nodes} * shape.num_experts);
  std::vector<uint32_t> out(experts.size());
  for (uint32_t w = 0; w < shape.num_workers; ++w) {
    auto held = experts.subspan(size_t{w} * each, each);
    auto best = shape.num_nodes;
    uint32_t least = UINT32_MAX;
    for (uint32_t n = 0; n < shape.num_nodes; ++n) {
      if (sizes[n] == per_node)
        continue;
      uint32_t there = 0;
      for (auto e : held)
        there += counts[e] > 1 ? of_node[n * shape.num_experts + e] : 0;
      // Alike: to where most room is.
      if (auto x = there * (per_node + 1) + sizes[n]; x < least) {
        least = x;
        best = n;
      }
    }
    auto to = best * per_node + sizes[best]++;
    std::ranges::copy(held, out.begin() + size_t{to} * each);
    for (auto e : held)
      ++of_node[best * shape.num_experts + e];
  }
  return out;
}

} // namespace troupe::balance
