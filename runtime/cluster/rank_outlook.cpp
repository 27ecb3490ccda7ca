#include "runtime/cluster/rank_outlook.hpp"

#include <algorithm>

namespace troupe {

rank_outlook::rank_outlook(const topology& cluster)
  : unit_of_rank_(cluster.units_of_ranks()) {
  for (uint32_t r = 0; r < cluster.num_ranks(); ++r)
    node_of_rank_.push_back(cluster.node_of_rank(r));
  for (auto& unit : cluster.all_units()) {
    auto& nodes = worker_nodes_.emplace_back();
    for (auto w : unit.workers)
      nodes.insert(cluster.node_of_worker(w));
  }
  missing_.resize(worker_nodes_.size());
}

void rank_outlook::begin_with(const std::vector<placement>& first) {
  for (size_t u = 0; u < missing_.size(); ++u)
    missing_[u].begin_with(first.at(u));
}

void rank_outlook::lost(node_id node, bool has_come) {
  if (!lost_.insert(node).second)
    return;
  for (size_t u = 0; u < missing_.size(); ++u)
    if (worker_nodes_[u].contains(node))
      missing_[u].lost(node, has_come);
  if (std::ranges::find(node_of_rank_, node) != node_of_rank_.end())
    last_with_ranks_ = node;
  if (leaving_ == node)
    leaving_.reset();
}

void rank_outlook::back(node_id node) {
  if (lost_.erase(node) == 0)
    return;
  for (size_t u = 0; u < missing_.size(); ++u)
    if (worker_nodes_[u].contains(node))
      missing_[u].back(node);
}

void rank_outlook::placed(placement newest) {
  missing_.at(newest.unit()).placed(std::move(newest));
}

bool rank_outlook::give_up(unit_id unit) {
  if (unit >= missing_.size() || !missing_[unit].are_awaited())
    return false;
  missing_[unit].give_up();
  return true;
}

rank_outlook::state rank_outlook::state_of(uint32_t rank) const {
  auto& missing = missing_[unit_of_rank_[rank]];
  if (lost_.contains(node_of_rank_[rank]))
    return state::lost;
  if (!missing.node())
    return state::fit;
  return missing.are_awaited() ? state::waits : state::stranded;
}

std::vector<rank_id> rank_outlook::usable() const {
  std::vector<rank_id> fit, waiting;
  for (uint32_t r = 0; r < node_of_rank_.size(); ++r) {
    auto is = state_of(r);
    if (is == state::fit)
      fit.push_back(rank_id(r));
    else if (is == state::waits)
      waiting.push_back(rank_id(r));
  }
  auto out = fit.empty() ? waiting : fit;
  auto stay = out;
  std::erase_if(stay, [this](auto x) { return is_leaving(x); });
  return stay.empty() ? out : stay;
}

std::vector<rank_id> rank_outlook::usable_beside(node_id node) const {
  auto all = usable();
  auto others = all;
  std::erase_if(others, [&](auto x) { return node_of_rank_[x] == node; });
  return others.empty() ? all : others;
}

bool rank_outlook::can_begin() const {
  for (uint32_t r = 0; r < node_of_rank_.size(); ++r)
    if (state_of(r) == state::fit)
      return true;
  return false;
}

std::vector<rank_id> rank_outlook::stranded() const {
  std::vector<rank_id> out;
  for (uint32_t r = 0; r < node_of_rank_.size(); ++r)
    if (state_of(r) == state::stranded)
      out.push_back(rank_id(r));
  return out;
}

/// Of experts that do not come.
std::optional<node_id> rank_outlook::missing_of(unit_id unit) const {
  auto& x = missing_[unit];
  return x.are_awaited() ? std::nullopt : x.node();
}

std::optional<node_id>
rank_outlook::obstacle(std::optional<uint32_t> wanted) const {
  if (wanted) {
    if (auto node = missing_of(unit_of_rank_[*wanted]))
      return node;
    auto node = node_of_rank_[*wanted];
    return lost_.contains(node) ? std::optional{node} : std::nullopt;
  }
  if (!usable().empty())
    return std::nullopt;
  for (unit_id u = 0; u < missing_.size(); ++u)
    if (auto node = missing_of(u))
      return node;
  return last_with_ranks_;
}

bool rank_outlook::are_awaited() const {
  return std::ranges::any_of(missing_, [](auto& x) { return x.are_awaited(); });
}

uint32_t rank_outlook::num_alive() const {
  return static_cast<uint32_t>(std::ranges::count_if(
    node_of_rank_, [this](auto node) { return !lost_.contains(node); }));
}

} // namespace troupe
