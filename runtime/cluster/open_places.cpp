#include "runtime/cluster/open_places.hpp"

#include "runtime/node_name.hpp"

#include <algorithm>

namespace troupe {

namespace {

failure no_place(std::string why) {
  return {errc::refused, std::move(why)};
}

std::string count_of(size_t n, const char* what) {
  return std::to_string(n) + " " + what + (n == 1 ? "" : "s");
}

std::string words_for(uint32_t num_ranks, uint32_t num_workers) {
  return count_of(num_ranks, "rank") + " and "
         + count_of(num_workers, "worker");
}

std::string words_for(const node_share& x) {
  return words_for(x.ranks, x.workers)
         + (x.unit.empty() ? "" : " of unit " + x.unit);
}

} // namespace

open_places::open_places(const topology& cluster,
                         const std::set<node_id>& remembered) {
  auto units = cluster.all_units();
  auto of_ranks = cluster.units_of_ranks();
  auto of_workers = cluster.units_of_workers();
  for (auto& unit : units)
    units_.insert(unit.name);
  for (auto& node : cluster.nodes) {
    place x;
    x.name = node.name;
    x.is_open = node.open;
    if (remembered.contains(node_id(places_.size())))
      x.is = standing::lost;
    x.num_ranks = static_cast<uint32_t>(node.ranks.size());
    x.num_workers = static_cast<uint32_t>(node.workers.size());
    for (auto r : node.ranks)
      x.units.insert(units[of_ranks[r]].name);
    for (auto w : node.workers)
      x.units.insert(units[of_workers[w]].name);
    places_.push_back(std::move(x));
  }
}

bool open_places::fits(const place& x, const node_share& brings) {
  auto is_in = [&](auto& unit) { return unit == brings.unit; };
  return x.num_ranks == brings.ranks && x.num_workers == brings.workers
         && (brings.unit.empty() || std::ranges::all_of(x.units, is_in));
}

result<node_id> open_places::place_of(const node_identity& who) {
  std::lock_guard lock{mutex_};
  auto& unit = who.brings.unit;
  if (!unit.empty() && !units_.contains(unit))
    return no_place("this cluster has no unit " + unit);
  auto i = std::ranges::find(places_, who.name, &place::name);
  if (i == places_.end())
    return claim(who);
  auto says_nothing = who.brings.is_empty() && unit.empty();
  if (!says_nothing && !fits(*i, who.brings))
    return no_place("node " + who.name + " is of "
                    + words_for(i->num_ranks, i->num_workers)
                    + " here, and cannot come with " + words_for(who.brings));
  return node_id(i - places_.begin());
}

/// Of a name that nobody has.
result<node_id> open_places::claim(const node_identity& who) {
  auto best = places_.end();
  auto has_open = false;
  for (auto i = places_.begin(); i != places_.end(); ++i) {
    has_open |= i->is_open;
    if (i->is_open && i->is == standing::claimed
        && i->incarnation == who.incarnation)
      return node_id(i - places_.begin());
    if (i->is_open && i->is != standing::taken && fits(*i, who.brings)
        && (best == places_.end() || i->is < best->is))
      best = i;
  }
  if (!has_open)
    return no_place("this cluster has no place for node " + who.name);
  if (!is_node_name(who.name)) // nobody could read a topology with it
    return no_place("a node's name must be 1 to 63 of a-z, 0-9, '-' and '_'");
  if (who.brings.is_empty())
    return no_place("the topology has no node named " + who.name
                    + ": who comes to an open place says what it brings "
                      "(--ranks, --workers)");
  if (best == places_.end())
    return no_place("this cluster has no free place for node " + who.name
                    + " with " + words_for(who.brings));
  if (best->is != standing::claimed)
    best->before = best->is;
  best->is = standing::claimed;
  best->incarnation = who.incarnation;
  return node_id(best - places_.begin());
}

void open_places::taken(node_id node, const std::string& name,
                        uint64_t incarnation) {
  std::lock_guard lock{mutex_};
  auto& x = places_.at(node);
  CHECK(x.name == name || x.is_open);
  x.name = name;
  x.is = standing::taken;
  x.incarnation = incarnation;
}

void open_places::freed(node_id node, uint64_t incarnation, bool has_left) {
  std::lock_guard lock{mutex_};
  auto& x = places_.at(node);
  if (x.incarnation != incarnation)
    return;
  if (x.is == standing::claimed)
    x.is = x.before;
  else if (x.is == standing::taken)
    x.is = has_left ? standing::left : standing::lost;
}

std::set<node_id> take_names(topology& cluster,
                             const std::optional<cluster_state>& kept) {
  std::set<node_id> out;
  for (size_t n = 0; kept && n < cluster.nodes.size(); ++n) {
    auto& node = cluster.nodes[n];
    if (!node.open || n >= kept->slots.size())
      continue;
    auto& slot = kept->slots[n];
    auto at = cluster.find(slot.name);
    if (slot.incarnation == 0 || (at && *at != n))
      continue;
    auto before = std::exchange(node.name, slot.name);
    if (validate(cluster))
      out.insert(node_id(n));
    else
      node.name = before; // a file may hold anything
  }
  return out;
}

} // namespace troupe
