#include "runtime/cluster/expert_mover.hpp"

#include "kernels/check.hpp"
#include "runtime/as_seconds.hpp"
#include "runtime/balance/expert_balancer.hpp"

#include <algorithm>
#include <utility>

namespace troupe {

uint32_t least_replicas(const placement& first,
                        const std::set<node_id>& absent) {
  auto there = first.left_by(absent);
  size_t out = there.num_workers();
  for (uint32_t layer = 0; layer < there.num_moe_layers(); ++layer)
    for (uint32_t e = 0; e < there.num_experts(); ++e)
      out = std::min(out, there.replicas_of(layer, e).size());
  return static_cast<uint32_t>(out);
}

expert_mover::expert_mover(const balance_settings& settings, terms x,
                           clock::instant now, std::set<node_id> absent)
  : settings_(settings), terms_(std::move(x)),
    loads_(terms_.layers, terms_.num_experts,
           settings.half_life * as_seconds(settings.interval)),
    first_loads_(settings.first_loads), aged_(now),
    next_(first_loads_ ? now : now + settings.interval),
    absent_(std::move(absent)) {
  CHECK(settings.interval.count() > 0 && settings.most_copies >= 2);
}

void expert_mover::hear(node_id node, uint64_t incarnation,
                        std::span<const uint64_t> counts, clock::instant now) {
  age(now);
  loads_.hear(node, incarnation, counts);
}

/// What was planned was for others.
void expert_mover::lost(node_id node, clock::instant now) {
  absent_.insert(node);
  leaving_.erase(node);
  let_go(now);
}

void expert_mover::back(node_id node, clock::instant now) {
  absent_.erase(node);
  leaving_.erase(node);
  let_go(now);
}

void expert_mover::leaves(node_id node, clock::instant now) {
  if (leaving_.insert(node).second)
    let_go(now);
}

void expert_mover::stays(node_id node, clock::instant now) {
  if (leaving_.erase(node) > 0) // who was lost meanwhile is not here
    let_go(now);
}

/// Of a change that is under way its end is awaited.
void expert_mover::let_go(clock::instant now) {
  if (phase_ == phase::changing)
    plan_ = {};
  else
    rest(now);
}

/// Whatever becomes of what is under way.
void expert_mover::rest(clock::instant now) {
  phase_ = phase::resting;
  ++round_;
  plan_ = {};
  change_.reset();
  is_new_ = false;
  next_ = now + settings_.interval;
}

void expert_mover::age(clock::instant now) {
  loads_.age(as_seconds(now - std::exchange(aged_, now)));
}

std::optional<balance::plan_matter> expert_mover::tick(const placement& map,
                                                       clock::instant now) {
  if (!is_due(now))
    return std::nullopt;
  if (phase_ != phase::resting) // nobody answers any more
    rest(now);
  if (now < next_ || map.num_waiting() > 0)
    return std::nullopt;
  age(now);
  auto absent = absent_;
  absent.insert(leaving_.begin(), leaving_.end());
  balance::plan_matter out{
    map, std::move(absent), loads_.table(), {}, terms_.least_replicas};
  auto& limits = out.limits;
  limits.budget = settings_.budget;
  if (auto x = std::exchange(first_loads_, std::nullopt)) {
    out.loads = std::move(*x); // nobody knows how fast rows will come
  } else {
    double sum = 0;
    for (auto& layer : out.loads.loads)
      for (auto rows : layer)
        sum += rows;
    uint32_t num_workers = 0;
    for (uint32_t w = 0; w < map.num_workers(); ++w)
      num_workers += map.has_worker(worker_id(w));
    auto parts = double(out.loads.loads.size()) * num_workers;
    auto rate = sum / std::max(loads_.seconds(), 1e-3) / parts;
    balance::copy_price price{terms_.expert_bytes, terms_.row_bytes,
                              std::max(rate, 1e-9),
                              as_seconds(settings_.payback)};
    limits.least_gain = price.least_gain();
  }
  phase_ = phase::planning;
  since_ = now;
  ++round_;
  return out;
}

void expert_mover::planned(uint32_t round, balance::expert_plan plan,
                           const placement& map, clock::instant now) {
  if (round != round_ || phase_ != phase::planning)
    return;
  ++status_.plans;
  status_.balance = plan.balance;
  status_.planned = plan.planned;
  status_.gain = plan.gain;
  plan_ = std::move(plan);
  go_on(map, now);
}

void expert_mover::go_on(const placement& map, clock::instant now) {
  change_ = balance::cut_change(map, plan_, settings_.most_copies);
  if (!change_)
    return rest(now);
  phase_ = phase::changing;
  since_ = now;
  ++round_;
  is_new_ = true;
}

std::optional<placement_lists> expert_mover::take_change() {
  if (!std::exchange(is_new_, false))
    return std::nullopt;
  return change_->next;
}

void expert_mover::changed(uint32_t round, const result<uint32_t>& epoch,
                           const placement& map, clock::instant now) {
  if (round != round_ || phase_ != phase::changing)
    return;
  if (!epoch) {
    ++status_.changes_refused;
    return rest(now);
  }
  ++status_.changes;
  note(*epoch);
  if (map.epoch() != *epoch || map.num_waiting() > 0)
    return rest(now); // something else has happened to it
  go_on(map, now);
}

void expert_mover::note(uint32_t epoch) {
  for (auto& x : change_->copies) {
    ++status_.moves;
    expert_move move{terms_.unit, epoch,  terms_.layers.at(x.moe_layer),
                     x.expert,    x.from, x.to,
                     x.reason,    x.gain};
    status_.recent.push_back(move);
    moves_.push_back(std::move(move));
  }
  auto& recent = status_.recent;
  if (recent.size() > most_recent)
    recent.erase(recent.begin(), recent.end() - most_recent);
}

std::vector<expert_move> expert_mover::take_moves() {
  return std::exchange(moves_, {});
}

} // namespace troupe
