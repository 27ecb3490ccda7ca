#include "runtime/pipeline/step_walk.hpp"

#include "kernels/check.hpp"
#include "runtime/planted.hpp"

#include <algorithm>

namespace troupe {

namespace {

using kind = walk_action::kind;

lane_set bit(uint8_t lane) {
  return static_cast<lane_set>(1u << lane);
}

} // namespace

step_walk::step_walk(const settings& x, const stage_table& table,
                     placement_ptr map)
  : settings_(x), table_(table), map_(std::move(map)), lanes_(x.num_lanes) {
  CHECK(x.num_lanes > 0 && x.num_lanes <= max_lanes);
  CHECK(table[0].wait == stage_wait::nothing);
  for (auto& lane : lanes_)
    lane.map = map_;
}

walk_actions step_walk::begin(uint8_t lane, lane_set behind) {
  auto& x = lanes_[lane];
  CHECK(x.what == phase::idle && (behind & bit(lane)) == 0);
  x.step = ++num_steps_;
  x.behind = 0;
  // Who plans may not have heard yet that one of them has ended.
  for (uint8_t i = 0; i < lanes_.size(); ++i)
    if (step_is_out(i))
      x.behind |= static_cast<lane_set>(behind & bit(i));
  x.at = 0;
  x.map = map_;
  walk_actions out;
  advance(lane, out);
  return out;
}

/// Enqueues from the stage that has waited, whose needs are met, to the next
/// that has to wait.
void step_walk::advance(uint8_t lane, walk_actions& out) {
  auto& x = lanes_[lane];
  x.waiting_since.reset();
  if (is_behind(x)) {
    x.what = phase::behind;
    x.map = map_; // nothing of it is out, and the older one may be waited for
    return;
  }
  auto from = x.at;
  x.at = table_.next_wait(from + 1);
  CHECK(table_[x.at].wait == stage_wait::host);
  out.push({kind::run, lane, 0, from, x.at});
  x.what = phase::computing;
  x.serial = ++serial_;
  out.push({kind::notify, lane, x.serial, 0, 0});
  move_on_behind(lane, out);
}

/// Whether a step that this one follows has yet to enqueue what this one would.
bool step_walk::is_behind(const lane& x) const {
  auto end = table_.next_wait(x.at + 1);
  for (uint8_t i = 0; i < lanes_.size(); ++i)
    if ((x.behind & bit(i)) != 0 && lanes_[i].at < end)
      return true;
  return false;
}

/// Those that follow `lane` may be far enough behind it now.
void step_walk::move_on_behind(uint8_t lane, walk_actions& out) {
  for (uint8_t i = 0; i < lanes_.size(); ++i)
    if (lanes_[i].what == phase::behind && (lanes_[i].behind & bit(lane)) != 0
        && !is_behind(lanes_[i]))
      advance(i, out);
}

walk_actions step_walk::stage_ended(uint32_t serial,
                                    const std::string& failure) {
  auto is_it = [serial](auto& x) {
    return x.what != phase::idle && x.serial == serial;
  };
  auto found = std::ranges::find_if(lanes_, is_it);
  if (found == lanes_.end())
    return {};
  walk_actions out;
  if (!failure.empty()) {
    for (uint8_t i = 0; i < lanes_.size(); ++i)
      fail(i, {errc::step_failed, failure}, out);
    return out;
  }
  if (found->what != phase::computing)
    return {};
  auto i = static_cast<uint8_t>(found - lanes_.begin());
  if (table_[found->at].what == stage::dispatch) {
    found->what = phase::planning;
    out.push({kind::dispatch, i, serial, 0, 0});
    return out;
  }
  CHECK(table_[found->at].what == stage::end);
  end(i, out);
  return out;
}

/// The next step of the lane has nothing to do with who followed this one.
void step_walk::end(uint8_t lane, walk_actions& out) {
  lanes_[lane].what = phase::idle;
  for (auto& x : lanes_)
    x.behind &= static_cast<lane_set>(~bit(lane));
  out.push({kind::end, lane, 0, 0, 0});
}

// -- dispatch -----------------------------------------------------------------

dispatch_key step_walk::key_of(uint8_t lane) const {
  auto& x = lanes_[lane];
  return {{settings_.rank, lane, x.serial},
          static_cast<uint16_t>(table_[x.at].layer),
          x.map->epoch(),
          x.step};
}

std::optional<failure> step_walk::obstacle(uint8_t lane) const {
  for (auto& slab : lanes_[lane].plan.slabs)
    if (auto i = gone_.find(slab.node); i != gone_.end())
      return failure{errc::peer_lost, i->second};
  return std::nullopt;
}

walk_actions step_walk::dispatched(uint8_t lane) {
  auto& x = lanes_[lane];
  CHECK(x.what == phase::planning);
  x.received.assign(x.plan.workers.size(), 0);
  x.num_missing = 0;
  for (auto& part : x.plan.workers)
    x.num_missing += part.count;
  CHECK(x.num_missing > 0);
  x.what = phase::away;
  walk_actions out;
  auto first = x.at + 1;
  x.at = table_.next_wait(first);
  CHECK(table_[x.at].wait == stage_wait::rows);
  x.waiting_since.reset();
  out.push({kind::run, lane, 0, first, x.at});
  return out;
}

walk_actions step_walk::crowded(uint8_t lane) {
  CHECK(lanes_[lane].what == phase::planning);
  lanes_[lane].what = phase::crowded;
  return {};
}

walk_actions step_walk::held(uint8_t lane) {
  auto& x = lanes_[lane];
  CHECK(x.what == phase::planning);
  walk_actions out;
  if (x.map == map_) {
    x.what = phase::held;
    return out;
  }
  // Whoever it needs may have come while it was computing.
  x.map = map_;
  out.push({kind::dispatch, lane, x.serial, 0, 0});
  return out;
}

// -- placements ---------------------------------------------------------------

walk_actions step_walk::set_map(placement_ptr map) {
  map_ = std::move(map);
  walk_actions out;
  for (uint8_t i = 0; i < lanes_.size(); ++i)
    if (auto& x = lanes_[i]; x.what == phase::held) {
      x.map = map_;
      x.what = phase::planning;
      out.push({kind::dispatch, i, x.serial, 0, 0});
    } else if (x.what == phase::behind) {
      x.map = map_;
    }
  return out;
}

void step_walk::avoid(const std::set<node_id>& nodes) {
  auto without = [&](const placement_ptr& x) {
    return std::make_shared<const placement>(x->left_by(nodes));
  };
  auto before = std::exchange(map_, without(map_));
  for (auto& x : lanes_)
    x.map = x.map == before ? map_ : without(x.map);
}

walk_actions step_walk::give_up_waiting(const failure& why) {
  walk_actions out;
  for (uint8_t i = 0; i < lanes_.size(); ++i)
    if (lanes_[i].what == phase::held)
      fail(i, why, out);
  return out;
}

uint32_t step_walk::oldest_epoch() const {
  auto out = map_->epoch();
  for (auto& x : lanes_)
    if (x.what != phase::idle)
      out = std::min(out, x.map->epoch());
  return out;
}

// -- rows ---------------------------------------------------------------------

step_walk::lane* step_walk::awaiting(const dispatch_key& of) {
  auto i = of.id.micro_batch;
  if (i >= lanes_.size() || lanes_[i].what != phase::away)
    return nullptr;
  if (of != key_of(i) && !PLANTED(stale_rows_accepted))
    return nullptr;
  return &lanes_[i];
}

/// The index in plan.workers of those whose next rows these are.
std::optional<size_t> step_walk::part_of(const lane& x, node_id from,
                                         const answer_section& s) const {
  auto& all = x.plan.workers;
  auto i = std::ranges::upper_bound(all, s.first, {},
                                    &dispatch_plan::returned::first);
  if (i == all.begin())
    return std::nullopt;
  auto index = static_cast<size_t>(--i - all.begin());
  if (i->worker != s.worker || x.map->node_of(s.worker) != from
      || i->first + x.received[index] != s.first
      || s.count > i->count - x.received[index])
    return std::nullopt;
  return index;
}

walk_actions step_walk::rows(const dispatch_key& of, node_id from,
                             const result<answer_view>& answers) {
  auto* x = awaiting(of);
  if (!x)
    return {};
  auto lane = of.id.micro_batch;
  if (!answers)
    return fail(lane, {errc::step_failed, answers.why().message});
  for (uint32_t i = 0; i < answers->num_sections(); ++i) {
    auto section = answers->section(i);
    auto part = part_of(*x, from, section);
    if (!part)
      return fail(
        lane, {errc::step_failed, "worker " + std::to_string(section.worker)
                                    + " returned other rows than it was sent"});
    x->received[*part] += section.count;
    x->num_missing -= section.count;
  }
  walk_actions out;
  out.push({kind::land, lane, 0, 0, 0});
  if (x->num_missing > 0)
    return out;
  out.push({kind::back, lane, 0, 0, 0});
  advance(lane, out);
  return out;
}

walk_actions step_walk::refused(const dispatch_key& of, const std::string& who,
                                rows_fault why) {
  if (!awaiting(of))
    return {};
  return fail(of.id.micro_batch, {errc::step_failed, who + " refused its rows: "
                                                       + to_string(why)});
}

// -- ends ---------------------------------------------------------------------

bool step_walk::owes(const lane& x, size_t part) const {
  return x.what == phase::away && x.received[part] < x.plan.workers[part].count;
}

walk_actions step_walk::peer_gone(node_id node, const std::string& sentence) {
  gone_[node] = sentence;
  walk_actions out;
  for (uint8_t lane = 0; lane < lanes_.size(); ++lane) {
    auto& x = lanes_[lane];
    for (size_t i = 0; x.what == phase::away && i < x.plan.workers.size(); ++i)
      if (owes(x, i) && x.map->node_of(x.plan.workers[i].worker) == node)
        fail(lane, {errc::peer_lost, sentence}, out);
  }
  return out;
}

walk_actions step_walk::fail(uint8_t lane, failure cause) {
  walk_actions out;
  fail(lane, cause, out);
  return out;
}

void step_walk::fail(uint8_t lane, const failure& cause, walk_actions& out) {
  auto& x = lanes_[lane];
  if (x.what == phase::idle)
    return;
  auto is_computing = x.what == phase::computing;
  x.what = phase::idle;
  x.behind = 0;
  x.cause = cause;
  out.push({kind::fail, lane, is_computing ? x.serial : 0, 0, 0});
  for (uint8_t i = 0; i < lanes_.size(); ++i)
    if ((lanes_[i].behind & bit(lane)) != 0)
      fail(i, cause, out);
}

bool step_walk::has_waited_too_long(lane& x, clock::instant now) const {
  if (!x.waiting_since)
    x.waiting_since = now;
  return now - *x.waiting_since >= settings_.step_timeout;
}

/// " 3 5": workers on other nodes that owe rows.
std::string step_walk::debtors_elsewhere(const lane& x) const {
  std::string out;
  for (size_t i = 0; i < x.plan.workers.size(); ++i) {
    auto name = " " + std::to_string(x.plan.workers[i].worker);
    auto is_known = (out + " ").find(name + " ") != std::string::npos;
    if (owes(x, i) && x.map->node_of(x.plan.workers[i].worker) != settings_.node
        && !is_known)
      out += name;
  }
  return out;
}

void step_walk::tick_lane(uint8_t lane, clock::instant now, bool has_left,
                          walk_actions& out) {
  auto& x = lanes_[lane];
  if (x.what == phase::crowded) {
    // Slabs come free as other ranks' rows leave: waited for like rows.
    if (has_waited_too_long(x, now)) {
      fail(lane, {errc::overloaded, "there was no room for the step's rows"},
           out);
      return;
    }
    x.what = phase::planning;
    out.push({kind::dispatch, lane, x.serial, 0, 0});
    return;
  }
  if (x.what == phase::held && has_waited_too_long(x, now)) {
    fail(lane,
         {errc::deadline_passed, "no worker got an expert that the step needs"},
         out);
    return;
  }
  if (x.what != phase::away || !has_left)
    return;
  auto late = debtors_elsewhere(x);
  if (!late.empty() && has_waited_too_long(x, now))
    fail(
      lane,
      {errc::deadline_passed, "no rows came back in time from worker" + late},
      out);
}

} // namespace troupe
