#include "actors/placement_watch.hpp"

#include "runtime/cluster/repair_plan.hpp"

namespace troupe {

run_checks::needs needs_of(virtual_company& company) {
  run_checks::needs out;
  for (auto& x : company.cluster().nodes)
    out.ranks.push_back(x.ranks);
  // Of who is lost others can be loaded, if there is room.
  auto units = company.cluster().units_of_ranks();
  out.has_experts_without = [&company, units](auto rank, auto& nodes) {
    auto map = company.front() ? company.front()->placed(units[rank])
                               : std::nullopt;
    return map && can_repair(map->left_by(nodes), nodes);
  };
  return out;
}

placement_watch::placement_watch(virtual_company& company, run_checks& checks,
                                 sometimes_states& states)
  : company_(company), checks_(checks), states_(states) {
}

void placement_watch::look_at(node_id node) {
  auto& core = company_.find(node)->core();
  auto counted = core.counters().read();
  auto look = [&](counter x, sometimes state) {
    if (counted[size_t(x)] > 0)
      states_.reach(state);
  };
  look(counter::changes_done, sometimes::change_done);
  look(counter::changes_aborted, sometimes::change_aborted);
  look(counter::sections_behind, sometimes::rows_of_two_epochs);
  look(counter::experts_waiting, sometimes::expert_waited);
  auto list = core.here()->read();
  if (list->controller)
    look_for_balance(*company_.front()->status());
  if (list->members)
    look_at_view(node, *list->members);
  auto& seen = seen_[node];
  for (auto& [unit, map] : list->placed) {
    if (std::exchange(seen[unit], map) == map)
      continue;
    checks_.placement_seen(node, unit, map->epoch);
    if (list->controller)
      look_for_experts(*list, *map);
  }
}

void placement_watch::look_at_view(node_id by, const view& x) {
  checks_.view_seen(by, x.number, x.epochs.empty() ? 0 : x.epochs[0]);
  auto is_in_it = x.members.at(by).is != member_state::absent;
  checks_.view_judged(by, x.number, company_.kept_view(), is_in_it);
}

void placement_watch::look_for_balance(const gateway_status& front) {
  std::lock_guard lock{front.mutex};
  if (front.balance && front.balance->changes > 0)
    states_.reach(sometimes::experts_balanced);
  if (front.request_balance)
    num_balanced_ = std::max(num_balanced_, front.request_balance->moves);
}

/// As it is published. Those who have died since may not have been missed yet.
void placement_watch::look_for_experts(const cast_list& front,
                                       const placement_lists& placed) {
  auto& cluster = front.parts->cluster;
  for (auto& x : placed.replicas) {
    auto& at = x.replica.at;
    auto node = cluster.node_of_worker(at.worker);
    if (front.members && incarnation_of(front, node) == 0)
      checks_.expert_missing("epoch " + std::to_string(placed.epoch)
                             + " puts an expert on a node that has never come");
    auto* holder = company_.find(node);
    auto parts = holder ? holder->core().here()->read()->parts : nullptr;
    if (!parts)
      continue;
    for (auto& worker : parts->workers)
      if (worker->id == at.worker
          && !worker->slots.answers(x.moe_layer, at.slot, x.expert,
                                    placed.epoch))
        checks_.expert_missing("slot " + std::to_string(at.slot) + " of worker "
                               + std::to_string(at.worker)
                               + " has not the expert that epoch "
                               + std::to_string(placed.epoch) + " puts there");
  }
}

} // namespace troupe
