#include "runtime/balance/placed_layer.hpp"

#include "kernels/check.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace troupe::balance {

namespace {

struct held_expert {
  uint32_t expert = 0;
  double share = 1;
};

/// By worker, those whose nodes are absent included.
std::optional<std::vector<std::vector<held_expert>>>
held_by(const placement& now, uint32_t moe_layer) {
  std::vector<std::vector<held_expert>> out(now.num_workers());
  for (uint32_t e = 0; e < now.num_experts(); ++e) {
    auto all = now.replicas_of(moe_layer, e);
    if (all.empty())
      return std::nullopt;
    double sum = 0;
    for (auto& x : all)
      sum += x.weight;
    for (auto& x : all)
      out[x.at.worker].push_back({e, x.weight / sum});
  }
  return out;
}

/// Those of which each has as many workers, one after the other; 1 where they
/// do not come out even.
uint32_t num_even_nodes(const placement& now,
                        std::span<const worker_id> workers) {
  std::vector<node_id> nodes;
  for (auto w : workers)
    if (nodes.empty() || nodes.back() != now.node_of(w))
      nodes.push_back(now.node_of(w));
  if (workers.size() % nodes.size() != 0)
    return 1;
  auto each = workers.size() / nodes.size();
  for (size_t i = 0; i < workers.size(); ++i)
    if (now.node_of(workers[i]) != nodes[i / each])
      return 1;
  return static_cast<uint32_t>(nodes.size());
}

} // namespace

std::optional<placed_layer> see_layer(const placement& now, uint32_t moe_layer,
                                      std::span<const double> loads,
                                      const std::set<node_id>& absent) {
  CHECK(loads.size() == now.num_experts());
  auto held = held_by(now, moe_layer);
  if (!held)
    return std::nullopt;
  placed_layer out;
  out.moe_layer = moe_layer;
  out.num_real = now.num_experts();
  size_t each = 0;
  for (uint32_t w = 0; w < now.num_workers(); ++w) {
    if (!now.has_worker(worker_id(w)))
      continue;
    if (absent.contains(now.node_of(worker_id(w)))) {
      if (!(*held)[w].empty())
        return std::nullopt; // another placement is about to come
      continue;
    }
    out.workers.push_back(worker_id(w));
    out.free_slots.push_back(now.slots_of(worker_id(w))
                             - static_cast<uint32_t>((*held)[w].size()));
    each = std::max(each, (*held)[w].size());
  }
  if (out.workers.size() < 2)
    return std::nullopt;
  auto& state = out.state;
  state.loads.assign(loads.begin(), loads.end());
  auto& present = state.present.emplace();
  auto next = out.num_real; // of those that stand for nobody
  for (auto w : out.workers) {
    auto& all = (*held)[w];
    for (size_t i = 0; i < each; ++i) {
      auto is_real = i < all.size();
      present.experts.push_back(is_real ? all[i].expert : next++);
      present.shares.push_back(is_real ? all[i].share : 1);
    }
  }
  state.loads.resize(next);
  state.shape.num_experts = next;
  state.shape.num_slots = static_cast<uint32_t>(present.experts.size());
  state.shape.num_workers = static_cast<uint32_t>(out.workers.size());
  state.shape.num_nodes = num_even_nodes(now, out.workers);
  if (!check_shape(state.shape))
    return std::nullopt;
  return out;
}

worker_fill fill_of(const layout_shape& shape, const layer_layout& layout,
                    std::span<const double> loads) {
  auto all = worker_loads(shape, layout, loads);
  auto sum = std::accumulate(all.begin(), all.end(), 0.0);
  return {std::ranges::max(all), sum / double(all.size())};
}

std::vector<uint16_t> weights_of(std::span<const double> shares) {
  auto sum = std::max<uint32_t>(weight_sum, uint32_t(shares.size()));
  auto [least, most] = std::ranges::minmax(shares);
  if ((most - least) * sum < 1)
    return std::vector<uint16_t>(shares.size(), 1);
  std::vector<uint16_t> out;
  std::vector<std::pair<double, size_t>> rests;
  uint32_t given = 0;
  for (size_t i = 0; i < shares.size(); ++i) {
    auto exact = std::clamp(shares[i], 0.0, 1.0) * sum;
    auto whole = std::max(1.0, std::floor(exact));
    out.push_back(static_cast<uint16_t>(whole));
    rests.emplace_back(whole - exact, i); // the least first
    given += out.back();
  }
  std::ranges::sort(rests);
  for (size_t i = 0; given < sum; i = (i + 1) % rests.size(), ++given)
    ++out[rests[i].second];
  while (given > sum) { // some got 1 who had less
    --*std::ranges::max_element(out);
    --given;
  }
  auto common = uint32_t{0};
  for (auto x : out)
    common = std::gcd(common, uint32_t{x});
  for (auto& x : out)
    x = static_cast<uint16_t>(x / common);
  return out;
}

layer_layout weighted(const layout_shape& shape, layer_layout layout) {
  std::vector<std::vector<size_t>> slots(shape.num_experts);
  for (size_t s = 0; s < layout.experts.size(); ++s)
    slots[layout.experts[s]].push_back(s);
  for (auto& all : slots) {
    std::vector<double> shares;
    for (auto s : all)
      shares.push_back(layout.shares[s]);
    auto weights = weights_of(shares);
    auto sum = std::accumulate(weights.begin(), weights.end(), 0.0);
    for (size_t i = 0; i < all.size(); ++i)
      layout.shares[all[i]] = weights[i] / sum;
  }
  return layout;
}

} // namespace troupe::balance
