#include "runtime/cluster/unit_slots.hpp"

#include <algorithm>

namespace troupe {

namespace {

failure misfit(std::string message) {
  return {errc::invalid_input, std::move(message)};
}

/// Whether every worker of a unit has a slot, and every slot something to hold.
/// `where`: what is said of the unit, if there are several.
result<void> check_slots_of_all(const topology_unit& unit,
                                const model_config& config,
                                const std::string& where) {
  uint64_t num_workers = unit.workers.size();
  uint64_t experts = config.n_routed_experts;
  uint64_t more = unit.num_redundant_experts;
  auto there_are = where + "there are " + std::to_string(num_workers)
                   + " workers";
  auto redundant = where + "num_redundant_experts is " + std::to_string(more);
  if (unit.ranks.empty() || unit.workers.empty())
    return misfit(where + "there has to be at least one rank and one worker");
  if (config.num_moe_layers() == 0) {
    if (num_workers == 1 && more == 0 && unit.spare_expert_slots == 0)
      return {};
    return misfit((num_workers > 1 ? there_are
                   : more > 0      ? redundant
                                   : where + "spare_expert_slots is above 0")
                  + ", but no layer of the model has experts");
  }
  if (num_workers > experts + more)
    return misfit(
      there_are + ", but the model has only " + std::to_string(experts)
      + " experts"
      + (more > 0 ? " and the unit " + std::to_string(more) + " redundant ones"
                  : ""));
  if (more > experts * (num_workers - 1))
    return misfit(redundant + ", but no worker holds an expert twice: with "
                  + std::to_string(num_workers) + " workers and "
                  + std::to_string(experts) + " experts it may be "
                  + std::to_string(experts * (num_workers - 1)));
  return {};
}

/// Whether the workers that are there from the start have a slot for every
/// expert.
result<void>
check_slots_at_start(const topology& cluster, const topology_unit& unit,
                     uint64_t num_experts, const std::string& where) {
  auto later = cluster.later_nodes();
  auto slots = num_experts + unit.num_redundant_experts;
  uint64_t all = unit.workers.size();
  auto there = uint64_t(std::ranges::count_if(unit.workers, [&](auto w) {
    return !later.contains(cluster.node_of_worker(w));
  }));
  auto held = there * slots / all;
  if (there == all || held >= num_experts)
    return {};
  auto enough = (num_experts * all + there - 1) / there - num_experts;
  return misfit(where
                + "without the nodes that come later workers have room for "
                + std::to_string(held) + " of " + std::to_string(num_experts)
                + " experts: num_redundant_experts has to be at least "
                + std::to_string(enough));
}

} // namespace

result<void> check_slots(const topology& cluster, const topology_unit& unit,
                         const model_config& config, const std::string& where) {
  if (auto ok = check_slots_of_all(unit, config, where); !ok)
    return ok;
  return check_slots_at_start(cluster, unit, config.n_routed_experts, where);
}

} // namespace troupe
