#include "runtime/dispatch/placement.hpp"

#include "kernels/check.hpp"

#include <algorithm>
#include <numeric>
#include <tuple>
#include <utility>

namespace troupe {

namespace {

std::vector<uint32_t> all_of(size_t num_workers) {
  std::vector<uint32_t> out(num_workers);
  std::iota(out.begin(), out.end(), 0);
  return out;
}

/// What each worker holds in every layer, by slot. `order`: who takes part, one
/// after the other.
std::vector<std::vector<uint32_t>>
share_out(uint32_t num_experts, const std::vector<node_id>& node_of_worker,
          uint32_t num_redundant, const std::vector<uint32_t>& order) {
  uint64_t num_slots = uint64_t{num_experts} + num_redundant;
  auto num_workers = order.size();
  CHECK(num_workers > 0 && num_workers <= num_slots);
  CHECK(num_slots <= num_experts * num_workers);
  std::vector<std::vector<uint32_t>> out(node_of_worker.size());
  for (size_t i = 0; i < num_workers; ++i)
    for (auto slot = i * num_slots / num_workers;
         slot < (i + 1) * num_slots / num_workers; ++slot)
      out[order[i]].push_back(static_cast<uint32_t>(slot % num_experts));
  return out;
}

failure refuse(const placed_expert& x, const std::string& why) {
  return {errc::invalid_input,
          "a placement has expert " + std::to_string(x.expert)
            + " of MoE layer " + std::to_string(x.moe_layer) + " in slot "
            + std::to_string(x.replica.at.slot) + " of worker "
            + std::to_string(x.replica.at.worker) + ", " + why};
}

} // namespace

placement::placement(uint32_t num_moe_layers, uint32_t num_experts,
                     uint32_t num_workers, std::vector<node_id> node_of_worker,
                     unit_id unit, uint32_t epoch, uint32_t num_redundant,
                     uint32_t num_spare, const std::vector<uint32_t>& members,
                     const std::set<node_id>& later)
  : unit_(unit), epoch_(epoch), num_moe_layers_(num_moe_layers),
    num_experts_(num_experts), node_of_worker_(std::move(node_of_worker)) {
  CHECK(node_of_worker_.size() == num_workers);
  auto order = members.empty() ? all_of(num_workers) : members;
  std::ranges::stable_sort(order, {}, [&](auto w) {
    auto node = node_of_worker_[w];
    return std::pair{later.contains(node), node};
  });
  auto held = share_out(num_experts, node_of_worker_, num_redundant, order);
  std::vector<placed_expert> all;
  for (uint32_t layer = 0; layer < num_moe_layers; ++layer)
    for (uint32_t w = 0; w < num_workers; ++w)
      for (uint32_t slot = 0; slot < held[w].size(); ++slot)
        all.push_back({uint16_t(layer),
                       uint16_t(held[w][slot]),
                       {{worker_id(w), uint16_t(slot)}}});
  slots_of_worker_.resize(num_workers);
  for (auto w : order)
    slots_of_worker_[w] = num_spare + static_cast<uint32_t>(held[w].size());
  num_slots_ = std::ranges::max(slots_of_worker_);
  fill(std::move(all));
}

/// In order of layer, expert and worker.
void placement::fill(std::vector<placed_expert> all) {
  std::ranges::sort(all, {}, [](auto& x) {
    return std::tuple{x.moe_layer, x.expert, x.replica.at.worker};
  });
  replicas_.clear();
  first_ = {0};
  num_waiting_ = 0;
  auto next = all.begin();
  for (uint32_t layer = 0; layer < num_moe_layers_; ++layer)
    for (uint32_t e = 0; e < num_experts_; ++e) {
      for (; next != all.end() && next->moe_layer == layer && next->expert == e;
           ++next)
        replicas_.push_back(next->replica);
      num_waiting_ += replicas_.size() == first_.back() ? 1 : 0;
      first_.push_back(static_cast<uint32_t>(replicas_.size()));
    }
  CHECK(next == all.end());
}

result<placement> placement::with(const placement_lists& next) const {
  std::set<std::tuple<uint16_t, worker_id, uint16_t>> slots;
  std::set<std::tuple<uint16_t, worker_id, uint16_t>> held;
  if (next.unit != unit_)
    return failure{errc::invalid_input, "a placement of another unit"};
  for (auto& x : next.replicas) {
    auto& [worker, slot] = x.replica.at;
    if (x.moe_layer >= num_moe_layers_ || x.expert >= num_experts_)
      return refuse(x, "which does not exist");
    if (worker >= num_workers() || slot >= slots_of(worker))
      return refuse(x, "which has no such slot");
    if (x.replica.weight == 0)
      return refuse(x, "with no share of its rows");
    if (!slots.insert({x.moe_layer, worker, slot}).second)
      return refuse(x, "which is another's there");
    if (!held.insert({x.moe_layer, worker, x.expert}).second)
      return refuse(x, "which holds it twice");
  }
  auto out = *this;
  out.epoch_ = next.epoch;
  out.fill(next.replicas);
  return out;
}

placement_lists placement::lists() const {
  placement_lists out{unit_, epoch_, {}};
  for (uint32_t layer = 0; layer < num_moe_layers_; ++layer)
    for (uint32_t e = 0; e < num_experts_; ++e)
      for (auto& x : replicas_of(layer, e))
        out.replicas.push_back({uint16_t(layer), uint16_t(e), x});
  return out;
}

slot_address placement::choose(uint32_t moe_layer, uint32_t expert,
                               uint32_t turn) const {
  auto all = replicas_of(moe_layer, expert);
  CHECK(!all.empty());
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

placement placement::left_by(const std::set<node_id>& nodes) const {
  auto all = lists().replicas;
  std::erase_if(
    all, [&](auto& x) { return nodes.contains(node_of(x.replica.at.worker)); });
  auto out = *this;
  out.fill(std::move(all));
  return out;
}

std::optional<placement>
placement::without(const std::set<node_id>& nodes) const {
  auto out = left_by(nodes);
  return out.num_waiting() == 0 ? std::optional{std::move(out)} : std::nullopt;
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
        here.resize(std::max<size_t>(here.size(), x.at.slot + 1u), no_expert);
        here[x.at.slot] = e;
      }
  return out;
}

} // namespace troupe
