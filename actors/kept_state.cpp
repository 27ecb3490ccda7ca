#include "actors/kept_state.hpp"

#include "runtime/cluster/kept_placement.hpp"

#include <algorithm>
#include <utility>

namespace troupe {

namespace {

std::shared_ptr<const cluster_state> copy_of(const state_store& kept) {
  auto& last = kept.last();
  return last ? std::make_shared<const cluster_state>(*last) : nullptr;
}

/// What one write takes along.
struct state_write {
  std::shared_ptr<const topology> cluster;
  std::shared_ptr<const cluster_state> last; ///< Null: there is none.
  std::map<unit_id, std::shared_ptr<const placement_lists>> newest;
  std::shared_ptr<const view> members; ///< Null: as in the last.

  /// The newest. Empty is what follows from the topology.
  void note_placement(unit_id unit, cluster_state::unit& x) const {
    auto i = newest.find(unit);
    if (i == newest.end())
      return;
    x.epoch = i->second->epoch;
    x.placement = encode_placement(*i->second);
  }

  void note_members(cluster_state& next) const {
    next.cluster = cluster->cluster;
    next.view = members->number;
    next.units.clear();
    for (auto& unit : cluster->all_units()) {
      cluster_state::unit x{unit.name, unit.role, 1, {}};
      if (last)
        if (auto known = std::ranges::find(last->units, unit.name,
                                           &cluster_state::unit::name);
            known != last->units.end())
          x = *known;
      x.role = unit.role;
      next.units.push_back(std::move(x));
    }
    auto before = std::exchange(next.slots, {});
    auto shapes = shapes_of(*cluster);
    for (auto& m : members->members) {
      cluster_state::slot x{m.name,         m.incarnation, m.address.host,
                            m.address.port, m.is,          false};
      x.shape = std::move(shapes.at(next.slots.size()));
      // Not seen since the cluster was started: its place is still its own.
      auto known = std::ranges::find(before, m.name,
                                     &cluster_state::slot::name);
      if (m.incarnation == 0 && known != before.end())
        x.incarnation = known->incarnation;
      next.slots.push_back(std::move(x));
    }
  }

  cluster_state next() const {
    auto out = last ? *last : cluster_state{};
    if (members)
      note_members(out);
    for (size_t unit = 0; unit < out.units.size(); ++unit)
      note_placement(unit_id(unit), out.units[unit]);
    return out;
  }
};

} // namespace

kept_state::kept_state(const node_context& context, const topology& cluster,
                       std::shared_ptr<state_store> kept,
                       const placements_of_units* begins_with)
  : run_(context.run_writing),
    cluster_(std::make_shared<const topology>(cluster)), kept_(std::move(kept)),
    last_(copy_of(*kept_)) {
  if (begins_with)
    for (auto& x : *begins_with)
      newest_[x.unit] = std::make_shared<const placement_lists>(x);
}

void kept_state::placed(std::shared_ptr<const placement_lists> map) {
  newest_[map->unit] = std::move(map);
  has_news_ = true;
}

uint64_t kept_state::begin(const controller& answers_to,
                           std::shared_ptr<const view> members) {
  CHECK(!is_busy_);
  is_busy_ = true;
  is_laden_ = std::exchange(has_news_, false) || again_;
  again_.reset();
  state_write what{cluster_, last_, newest_, std::move(members)};
  // A disk may take longer than the controller lives.
  auto job = [what = std::move(what), kept = kept_,
              to = weak_handle<controller>{answers_to}, number = ++number_] {
    auto seen = what.last ? what.last->revision : 0;
    auto ok = kept->compare_and_set(seen, what.next());
    to.tell(state_kept{number, ok ? std::nullopt : std::optional{ok.why()},
                       copy_of(*kept), true});
  };
  if (run_)
    run_(job);
  else
    job();
  return number_;
}

bool kept_state::is_due(clock::instant now) {
  if (!again_ || now < *again_ || is_busy_)
    return false;
  return has_news_ = true;
}

bool kept_state::take(const state_kept& msg, clock::instant now) {
  if (!is_busy_ || msg.number != number_)
    return false;
  if (!msg.is_over)
    return !std::exchange(is_stuck_, true);
  is_busy_ = is_stuck_ = false;
  last_ = msg.last;
  if (!msg.why)
    num_failures_ = 0;
  else if (is_laden_) {
    ++num_failures_;
    again_ = now + pause;
  }
  return true;
}

} // namespace troupe
