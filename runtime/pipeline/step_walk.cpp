#include "runtime/pipeline/step_walk.hpp"

#include "kernels/check.hpp"
#include "runtime/planted.hpp"

#include <algorithm>

namespace troupe {

namespace {

using kind = walk_action::kind;

constexpr uint8_t max_lanes = 4;

} // namespace

step_walk::step_walk(const settings& x, const stage_table& table,
                     const placement& map)
  : settings_(x), table_(table), map_(map), lanes_(x.num_lanes) {
  CHECK(x.num_lanes > 0 && x.num_lanes <= max_lanes);
  CHECK(table[0].wait == stage_wait::nothing);
}

walk_actions step_walk::begin() {
  CHECK(!step_is_out());
  ++step_;
  num_out_ = static_cast<uint32_t>(lanes_.size());
  walk_actions out;
  for (uint8_t i = 0; i < lanes_.size(); ++i)
    advance(i, 0, out);
  return out;
}

/// Enqueues from a stage whose needs are met to the next that has to wait.
void step_walk::advance(uint8_t lane, uint32_t from, walk_actions& out) {
  auto& x = lanes_[lane];
  x.at = table_.next_wait(from + 1);
  x.waiting_since.reset();
  out.push({kind::run, lane, 0, from, x.at});
  if (table_[x.at].wait == stage_wait::rows)
    return; // whoever has dispatched them knows
  x.what = phase::computing;
  x.serial = ++serial_;
  out.push({kind::notify, lane, x.serial, 0, 0});
}

walk_actions step_walk::stage_ended(uint32_t serial,
                                    const std::string& failure) {
  auto is_it = [serial](auto& x) {
    return x.what != phase::idle && x.serial == serial;
  };
  auto found = std::ranges::find_if(lanes_, is_it);
  if (found == lanes_.end())
    return {};
  if (!failure.empty())
    return fail({errc::step_failed, failure});
  if (found->what != phase::computing)
    return {};
  auto i = static_cast<uint8_t>(found - lanes_.begin());
  walk_actions out;
  if (table_[found->at].what == stage::dispatch) {
    found->what = phase::planning;
    out.push({kind::dispatch, i, serial, 0, 0});
    return out;
  }
  CHECK(table_[found->at].what == stage::end);
  found->what = phase::idle;
  if (--num_out_ == 0)
    out.push({kind::end, i, 0, 0, 0});
  return out;
}

// -- dispatch -----------------------------------------------------------------

dispatch_key step_walk::key_of(uint8_t lane) const {
  auto& x = lanes_[lane];
  return {{settings_.rank, lane, x.serial},
          static_cast<uint16_t>(table_[x.at].layer),
          map_.epoch(),
          step_};
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
  if (i->worker != s.worker || map_.node_of(s.worker) != from
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
  if (!answers)
    return fail({errc::step_failed, answers.why().message});
  for (uint32_t i = 0; i < answers->num_sections(); ++i) {
    auto section = answers->section(i);
    auto part = part_of(*x, from, section);
    if (!part)
      return fail(
        {errc::step_failed, "worker " + std::to_string(section.worker)
                              + " returned other rows than it was sent"});
    x->received[*part] += section.count;
    x->num_missing -= section.count;
  }
  walk_actions out;
  out.push({kind::land, of.id.micro_batch, 0, 0, 0});
  if (x->num_missing == 0)
    advance(of.id.micro_batch, x->at, out);
  return out;
}

walk_actions step_walk::refused(const dispatch_key& of, const std::string& who,
                                rows_fault why) {
  if (!awaiting(of))
    return {};
  return fail(
    {errc::step_failed, who + " refused its rows: " + to_string(why)});
}

// -- ends ---------------------------------------------------------------------

bool step_walk::owes(const lane& x, size_t part) const {
  return x.what == phase::away && x.received[part] < x.plan.workers[part].count;
}

walk_actions step_walk::peer_gone(node_id node, const std::string& sentence) {
  gone_[node] = sentence;
  for (auto& x : lanes_)
    for (size_t i = 0; x.what == phase::away && i < x.plan.workers.size(); ++i)
      if (owes(x, i) && map_.node_of(x.plan.workers[i].worker) == node)
        return fail({errc::peer_lost, sentence});
  return {};
}

walk_actions step_walk::fail(failure cause) {
  for (auto& x : lanes_)
    x.what = phase::idle;
  num_out_ = 0;
  cause_ = std::move(cause);
  walk_actions out;
  out.push({kind::fail, 0, 0, 0, 0});
  return out;
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
    if (owes(x, i) && map_.node_of(x.plan.workers[i].worker) != settings_.node
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
      out = fail({errc::overloaded, "there was no room for the step's rows"});
      return;
    }
    x.what = phase::planning;
    out.push({kind::dispatch, lane, x.serial, 0, 0});
    return;
  }
  if (x.what != phase::away || !has_left)
    return;
  auto late = debtors_elsewhere(x);
  if (!late.empty() && has_waited_too_long(x, now))
    out = fail(
      {errc::deadline_passed, "no rows came back in time from worker" + late});
}

} // namespace troupe
