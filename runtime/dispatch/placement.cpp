#include "runtime/dispatch/placement.hpp"

#include "kernels/check.hpp"

#include <algorithm>
#include <numeric>

namespace troupe {

namespace {

/// What each worker holds in every layer, by slot.
std::vector<std::vector<uint32_t>>
share_out(uint32_t num_experts, const std::vector<node_id>& node_of_worker,
          uint32_t num_redundant) {
  uint64_t num_slots = uint64_t{num_experts} + num_redundant;
  auto num_workers = node_of_worker.size();
  CHECK(num_workers > 0 && num_workers <= num_slots);
  CHECK(num_slots <= num_experts * num_workers);
  std::vector<worker_id> order(num_workers);
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, {},
                           [&](auto w) { return node_of_worker[w]; });
  std::vector<std::vector<uint32_t>> out(num_workers);
  for (size_t i = 0; i < num_workers; ++i)
    for (auto slot = i * num_slots / num_workers;
         slot < (i + 1) * num_slots / num_workers; ++slot)
      out[order[i]].push_back(static_cast<uint32_t>(slot % num_experts));
  return out;
}

} // namespace

placement::placement(uint32_t num_moe_layers, uint32_t num_experts,
                     uint32_t num_workers, std::vector<node_id> node_of_worker,
                     unit_id unit, uint32_t epoch, uint32_t num_redundant)
  : unit_(unit), epoch_(epoch), num_moe_layers_(num_moe_layers),
    num_experts_(num_experts), node_of_worker_(std::move(node_of_worker)) {
  CHECK(node_of_worker_.size() == num_workers);
  auto held = share_out(num_experts, node_of_worker_, num_redundant);
  std::vector<std::vector<expert_replica>> replicas(num_experts);
  for (uint32_t w = 0; w < num_workers; ++w) {
    num_slots_ = std::max(num_slots_, static_cast<uint32_t>(held[w].size()));
    for (uint32_t slot = 0; slot < held[w].size(); ++slot)
      replicas[held[w][slot]].push_back({{worker_id(w), uint16_t(slot)}});
  }
  first_ = {0};
  for (uint32_t layer = 0; layer < num_moe_layers; ++layer)
    for (auto& x : replicas) {
      replicas_.insert(replicas_.end(), x.begin(), x.end());
      first_.push_back(static_cast<uint32_t>(replicas_.size()));
    }
}

slot_address placement::choose(uint32_t moe_layer, uint32_t expert,
                               uint32_t turn) const {
  auto all = replicas_of(moe_layer, expert);
  if (all.size() == 1)
    return all.front().at;
  uint32_t sum = 0;
  for (auto& x : all)
    sum += x.weight;
  auto left = turn % sum;
  auto i = all.begin();
  for (; left >= i->weight; ++i)
    left -= i->weight;
  return i->at;
}

std::optional<placement>
placement::without(const std::set<node_id>& nodes) const {
  auto out = *this;
  out.replicas_.clear();
  out.first_ = {0};
  for (uint32_t layer = 0; layer < num_moe_layers_; ++layer)
    for (uint32_t e = 0; e < num_experts_; ++e) {
      for (auto& x : replicas_of(layer, e))
        if (!nodes.contains(node_of(x.at.worker)))
          out.replicas_.push_back(x);
      if (out.replicas_.size() == out.first_.back())
        return std::nullopt;
      out.first_.push_back(static_cast<uint32_t>(out.replicas_.size()));
    }
  return out;
}

std::vector<std::vector<uint32_t>>
placement::experts_of(worker_id worker) const {
  std::vector<std::vector<uint32_t>> out(num_moe_layers_);
  for (uint32_t layer = 0; layer < num_moe_layers_; ++layer)
    for (uint32_t e = 0; e < num_experts_; ++e)
      for (auto& x : replicas_of(layer, e)) {
        if (x.at.worker != worker)
          continue;
        auto& here = out[layer];
        here.resize(std::max<size_t>(here.size(), x.at.slot + 1u));
        here[x.at.slot] = e;
      }
  return out;
}

} // namespace troupe
