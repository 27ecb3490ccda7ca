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

/// Names of a kept state on their way to places.
struct name_giver {
  topology& cluster;
  std::vector<node_shape> shapes = shapes_of(cluster); ///< By node id.
  std::set<node_id> named = {};

  bool give(node_id n, const std::string& name) {
    auto& node = cluster.nodes[n];
    auto at = cluster.find(name);
    if (!node.open || named.contains(n) || (at && *at != n))
      return false;
    auto before = std::exchange(node.name, name);
    if (!validate(cluster)) {
      node.name = before; // a file may hold anything
      return false;
    }
    named.insert(n);
    return true;
  }

  /// Files of before say of no slot what it is of.
  bool keep(const cluster_state::slot& x, size_t i, bool is_old) {
    return i < shapes.size() && (is_old || x.shape == shapes[i])
           && give(node_id(i), x.name);
  }

  void move(const cluster_state::slot& x) {
    for (size_t n = 0; n < shapes.size(); ++n)
      if (x.shape == shapes[n] && give(node_id(n), x.name))
        return;
  }
};

} // namespace

open_places::open_places(const topology& cluster,
                         const std::set<node_id>& remembered) {
  for (auto& unit : cluster.all_units())
    units_.insert(unit.name);
  auto shapes = shapes_of(cluster);
  for (auto& node : cluster.nodes) {
    place x;
    x.name = node.name;
    x.is_open = node.open;
    if (remembered.contains(node_id(places_.size())))
      x.is = standing::lost;
    x.shape = std::move(shapes[places_.size()]);
    places_.push_back(std::move(x));
  }
}

/// Of this one alone, or of any if it is not said.
bool open_places::is_of(const place& x, const std::string& unit) {
  auto is_it = [&](auto& y) { return y == unit; };
  return unit.empty() || std::ranges::all_of(x.shape.units, is_it);
}

bool open_places::fits(const place& x, const node_share& brings) {
  return x.shape.num_ranks == brings.ranks
         && x.shape.num_workers == brings.workers && is_of(x, brings.unit);
}

result<node_id> open_places::place_of(const node_identity& who) {
  std::lock_guard lock{mutex_};
  auto& unit = who.brings.unit;
  if (!unit.empty() && !units_.contains(unit))
    return no_place("this cluster has no unit " + unit);
  auto i = std::ranges::find(places_, who.name, &place::name);
  if (i == places_.end())
    return claim(who);
  if (!is_of(*i, unit))
    return no_place("node " + who.name + " is not of unit " + unit + " here");
  if (!who.brings.is_empty() && !fits(*i, who.brings))
    return no_place("node " + who.name + " is of "
                    + words_for(i->shape.num_ranks, i->shape.num_workers)
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
  // Of two who want the last one the first keeps it, if it comes.
  if (best->is != standing::claimed) {
    best->before = std::exchange(best->is, standing::claimed);
    best->incarnation = who.incarnation;
    best->claimant = who.name;
  }
  return node_id(best - places_.begin());
}

void open_places::taken(node_id node, const std::string& name,
                        uint64_t incarnation) {
  std::lock_guard lock{mutex_};
  auto& x = places_.at(node);
  CHECK(x.name == name || x.is_open);
  if (x.is != standing::taken) // who waits for the start is taken in twice
    x.former = x.name;
  x.name = name;
  if (x.is < standing::claimed)
    x.before = x.is;
  x.is = standing::taken;
  x.incarnation = incarnation;
}

void open_places::stayed_away(node_id node, uint64_t incarnation) {
  std::lock_guard lock{mutex_};
  auto& x = places_.at(node);
  if (x.is == standing::claimed && x.incarnation == incarnation)
    x.is = x.before;
}

std::string open_places::freed(node_id node, uint64_t incarnation,
                               bool was_member, bool has_left) {
  std::lock_guard lock{mutex_};
  auto& x = places_.at(node);
  if (x.is != standing::taken || x.incarnation != incarnation)
    return x.name;
  x.is = has_left ? standing::left : standing::lost;
  if (was_member || (x.former != x.name && has_other(x.former)))
    return x.name;
  x.is = x.before;
  return x.name = x.former;
}

/// Who was there may have come to another place meanwhile, or be about to.
bool open_places::has_other(const std::string& name) const {
  return std::ranges::any_of(places_, [&](auto& x) {
    return x.name == name || (x.is == standing::claimed && x.claimant == name);
  });
}

std::set<node_id> take_names(topology& cluster,
                             const std::optional<cluster_state>& kept) {
  if (!kept)
    return {};
  name_giver to{cluster};
  auto is_bare = [](auto& x) { return x.shape == node_shape{}; };
  auto is_old = std::ranges::all_of(kept->slots, is_bare);
  std::vector<const cluster_state::slot*> moved;
  for (size_t i = 0; i < kept->slots.size(); ++i)
    if (auto& x = kept->slots[i]; x.incarnation != 0 && !to.keep(x, i, is_old))
      moved.push_back(&x);
  for (auto* x : moved)
    to.move(*x);
  return to.named;
}

} // namespace troupe
