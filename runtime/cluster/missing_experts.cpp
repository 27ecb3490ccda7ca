#include "runtime/cluster/missing_experts.hpp"

#include "runtime/cluster/repair_plan.hpp"

#include <utility>

namespace troupe {

namespace {

/// Nodes that had, in `map`, experts that nobody has in `left`.
std::set<node_id> holders(const placement& map, const placement& left) {
  std::set<node_id> out;
  for (uint32_t layer = 0; layer < map.num_moe_layers(); ++layer)
    for (uint32_t expert = 0; expert < map.num_experts(); ++expert)
      if (left.replicas_of(layer, expert).empty())
        for (auto& x : map.replicas_of(layer, expert))
          out.insert(map.node_of(x.at.worker));
  return out;
}

} // namespace

void missing_experts::begin_with(const placement& first) {
  if (map_)
    return;
  map_ = first;
  absent_.begin_with(first.epoch());
}

void missing_experts::lost(node_id node, bool has_come) {
  absent_.lost(node);
  if (!has_come)
    never_came_.insert(node);
  look(node);
}

void missing_experts::back(node_id node) {
  absent_.back(node);
  never_came_.erase(node);
  look(node_);
}

void missing_experts::placed(placement newest) {
  absent_.placed(newest.epoch());
  map_ = std::move(newest);
  look(node_);
}

/// Before the parts are there nobody knows who has what: all are missing.
void missing_experts::look(std::optional<node_id> last) {
  auto before = std::exchange(node_, std::nullopt);
  auto& gone = absent_.nodes();
  auto left = map_ ? std::optional{map_->left_by(gone)} : std::nullopt;
  if (gone.empty() || (left && left->num_waiting() == 0))
    return;
  // Others may have had nothing, or have never come. Where all who wait had no
  // place before, either, nobody knows whose they were.
  auto had = left ? holders(*map_, *left) : gone;
  std::erase_if(had, [&](auto x) { return never_came_.contains(x); });
  auto& whose = had.empty() ? gone : had;
  node_ = *whose.rbegin();
  for (auto x : {before, last})
    if (x && whose.contains(*x))
      node_ = x;
  // Whoever is back has room, and what it holds.
  is_awaited_ = left && can_repair(*left, absent_.without_process());
}

} // namespace troupe
