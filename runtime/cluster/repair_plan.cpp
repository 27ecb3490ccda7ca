#include "runtime/cluster/repair_plan.hpp"

#include <algorithm>
#include <map>
#include <span>
#include <utility>
#include <vector>

namespace troupe {

namespace {

/// The empty slots of a layer, by worker.
class layer_room {
public:
  layer_room(const placement& now, uint32_t layer,
             const std::set<node_id>& lost)
    : taken_(now.num_workers()), empty_(now.num_workers()) {
    for (uint32_t w = 0; w < now.num_workers(); ++w) {
      auto is_there = !lost.contains(now.node_of(worker_id(w)));
      taken_[w].resize(is_there ? now.slots_of(worker_id(w)) : 0);
      empty_[w] = static_cast<uint32_t>(taken_[w].size());
    }
    for (uint32_t e = 0; e < now.num_experts(); ++e)
      for (auto& x : now.replicas_of(layer, e))
        take(x.at);
  }

  /// For one more of those that are in `held`.
  std::optional<slot_address> find(const std::vector<worker_id>& held) {
    std::optional<worker_id> best;
    for (uint32_t w = 0; w < empty_.size(); ++w)
      if (empty_[w] > 0 && (!best || empty_[w] > empty_[*best])
          && std::ranges::find(held, worker_id(w)) == held.end())
        best = worker_id(w);
    if (!best)
      return std::nullopt;
    auto& slots = taken_[*best];
    auto slot = std::ranges::find(slots, false) - slots.begin();
    slot_address out{*best, uint16_t(slot)};
    take(out);
    return out;
  }

private:
  void take(const slot_address& x) {
    if (x.slot >= taken_[x.worker].size())
      return; // of who is lost
    taken_[x.worker][x.slot] = true;
    --empty_[x.worker];
  }

  std::vector<std::vector<bool>> taken_;
  std::vector<uint32_t> empty_;
};

} // namespace

std::optional<repair_plan> plan_repair(const placement& now,
                                       const placement& goal,
                                       const std::set<node_id>& lost) {
  repair_plan out{now.lists(), false};
  ++out.next.epoch;
  auto before = out.next.replicas.size();
  auto only_waiting = now.num_waiting() > 0;
  for (uint32_t layer = 0; layer < now.num_moe_layers(); ++layer) {
    layer_room room{now, layer, lost};
    for (uint32_t e = 0; e < now.num_experts(); ++e) {
      std::vector<worker_id> held;
      for (auto& x : now.replicas_of(layer, e))
        held.push_back(x.at.worker);
      auto wanted = only_waiting ? 1 : goal.replicas_of(layer, e).size();
      while (held.size() < wanted) {
        auto at = room.find(held);
        out.leaves_waiting |= !at && only_waiting;
        if (!at)
          break;
        held.push_back(at->worker);
        out.next.replicas.push_back({uint16_t(layer), uint16_t(e), {*at, 1}});
      }
    }
  }
  if (out.next.replicas.size() == before)
    return std::nullopt;
  return out;
}

namespace {

/// As it was wanted there, or like any other.
uint16_t weight_of(std::span<const expert_replica> wanted,
                   const slot_address& at) {
  auto i = std::ranges::find(wanted, at, &expert_replica::at);
  return i == wanted.end() ? uint16_t{1} : i->weight;
}

} // namespace

placement_change plan_return(const placement& now, const placement& first,
                             const placement& goal,
                             const std::set<node_id>& nodes) {
  auto next = now.lists();
  ++next.epoch;
  slots_by_worker arriving, leaving;
  std::map<std::pair<uint16_t, uint16_t>, size_t> added;
  for (auto& x : first.lists().replicas) {
    auto at = x.replica.at;
    if (!nodes.contains(now.node_of(at.worker)))
      continue;
    arriving.try_emplace(at.worker);
    auto wanted = goal.replicas_of(x.moe_layer, x.expert);
    auto& more = added[{x.moe_layer, x.expert}];
    auto num = now.replicas_of(x.moe_layer, x.expert).size() + more;
    if (num < std::max<size_t>(1, wanted.size())) {
      next.replicas.push_back(
        {x.moe_layer, x.expert, {at, weight_of(wanted, at)}});
      ++more;
    } else {
      leaving[at.worker].push_back({x.moe_layer, at.slot, x.expert});
    }
  }
  auto then = now.with(next);
  CHECK(then);
  return {std::move(*then), std::move(arriving), std::move(leaving)};
}

bool can_repair(const placement& now, const std::set<node_id>& lost) {
  if (now.num_waiting() == 0)
    return true;
  auto plan = plan_repair(now, now, lost);
  return plan && !plan->leaves_waiting;
}

} // namespace troupe
