#include "runtime/cluster/unit_choice.hpp"

#include <algorithm>

namespace troupe {

bool moves_blocks(const topology& cluster) {
  auto prefills = [](auto& unit) { return unit.role == unit_role::prefill; };
  auto& units = cluster.units; // with none everybody does all
  auto have_roles = std::ranges::any_of(units, prefills)
                    && !std::ranges::all_of(units, prefills);
  return cluster.limits.prefix_caching
         && (have_roles || cluster.limits.moving_requests);
}

unit_choice::unit_choice(const topology& cluster)
  : roles_(cluster.num_ranks(), unit_role::both) {
  for (auto& unit : cluster.all_units())
    for (auto rank : unit.ranks)
      roles_[rank] = unit.role;
}

std::vector<rank_id>
unit_choice::without(unit_role role, const std::vector<rank_id>& all) const {
  auto out = all;
  std::erase_if(out, [&](auto rank) { return roles_[rank] == role; });
  return out;
}

std::vector<rank_id>
unit_choice::to_begin(const std::vector<rank_id>& usable) const {
  auto out = without(unit_role::decode, usable);
  return out.empty() ? usable : out;
}

std::vector<rank_id>
unit_choice::to_follow(rank_id from, const std::vector<rank_id>& usable) const {
  return roles_[from] == unit_role::prefill
           ? without(unit_role::prefill, usable)
           : std::vector<rank_id>{};
}

} // namespace troupe
