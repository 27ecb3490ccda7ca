#include "runtime/dispatch/placement_change.hpp"

#include <tuple>

namespace troupe {

namespace {

using slot_key = std::tuple<worker_id, uint16_t, uint16_t>; // layer, slot

std::map<slot_key, uint16_t> experts_by_slot(const placement_lists& x) {
  std::map<slot_key, uint16_t> out;
  for (auto& r : x.replicas)
    out[{r.replica.at.worker, r.moe_layer, r.replica.at.slot}] = r.expert;
  return out;
}

std::string name_of(const slot_key& x) {
  auto& [worker, layer, slot] = x;
  return "slot " + std::to_string(slot) + " of worker " + std::to_string(worker)
         + " in MoE layer " + std::to_string(layer);
}

void add(slots_by_worker& to, const slot_key& x, uint16_t expert) {
  auto& [worker, layer, slot] = x;
  to[worker].push_back({layer, slot, expert});
}

failure refuse(std::string why) {
  return {errc::invalid_input, std::move(why)};
}

} // namespace

result<void> check_coverage(const placement& now, const placement& next) {
  for (uint32_t layer = 0; layer < now.num_moe_layers(); ++layer)
    for (uint32_t e = 0; e < now.num_experts(); ++e)
      if (next.replicas_of(layer, e).empty()
          && !now.replicas_of(layer, e).empty())
        return refuse("no worker would have expert " + std::to_string(e)
                      + " of MoE layer " + std::to_string(layer));
  return {};
}

result<placement_change> plan_change(const placement& now,
                                     const placement_lists& next,
                                     const std::set<node_id>& lost) {
  if (next.epoch != now.epoch() + 1)
    return refuse("the placement is of epoch " + std::to_string(now.epoch())
                  + ": the next one is " + std::to_string(now.epoch() + 1)
                  + ", not " + std::to_string(next.epoch));
  auto then = now.with(next);
  if (!then)
    return then.why();
  placement_change out{std::move(*then), {}, {}};
  auto old = experts_by_slot(now.lists());
  auto wanted = experts_by_slot(next);
  for (auto& [key, expert] : wanted) {
    auto worker = std::get<0>(key);
    if (lost.contains(now.node_of(worker)))
      return refuse("the node of worker " + std::to_string(worker)
                    + " was lost");
    auto i = old.find(key);
    if (i != old.end() && i->second != expert)
      return refuse(name_of(key) + " still holds expert "
                    + std::to_string(i->second));
    if (i == old.end())
      add(out.arriving, key, expert);
  }
  if (auto ok = check_coverage(now, out.next); !ok)
    return ok.why();
  for (auto& [key, expert] : old)
    if (!wanted.contains(key))
      add(out.leaving, key, expert);
  return out;
}

} // namespace troupe
