#include "runtime/pipeline/lane_choice.hpp"

#include <algorithm>
#include <bit>
#include <chrono>
#include <cmath>
#include <utility>

namespace troupe {

namespace {

/// Steps of a lane before they are judged: enough to see through noise, and
/// few enough to try.
constexpr uint32_t steps_of_window = 16;

/// A trial costs at most a few times what it replaces.
constexpr uint32_t windows_between_trials = 63;
constexpr uint32_t most_windows_between_trials = 16 * windows_between_trials;

/// Steps of a lane after which a trial may be given up, and how much worse it
/// does then.
constexpr uint32_t steps_of_glance = 4;
constexpr double clearly_worse = 1.1;

/// Of a rank that waits less overlap can gain no more than that.
constexpr double worth_hiding = 0.05;

/// A k has to be that much better than the one that is used.
constexpr double clearly_better = 0.98;

constexpr double weight_of_last = 0.25;

/// What took so much more or less before is not the same work, or machine.
constexpr double another_time = 0.2;

double seconds(lane_choice::duration x) {
  return std::chrono::duration<double>(x).count();
}

} // namespace

uint32_t lane_choice::lanes_for(uint32_t num_rows, bool has_prompts) {
  auto kind = has_prompts ? 0 : static_cast<uint32_t>(std::bit_width(num_rows));
  auto k = kinds_[kind].in_use();
  k = std::clamp(k, 1u, std::max(std::min(most_, num_rows), 1u));
  asked_ = {kind, k};
  return k;
}

void lane_choice::began(uint8_t lane, clock::instant now, bool has_prompts) {
  out_[lane] = asked_;
  if ((asked_.kind == 0) != has_prompts)
    out_[lane].lanes = 0; // in use nowhere
  if (!last_end_)
    last_end_ = now;
}

void lane_choice::ended(uint8_t lane, clock::instant now, double cost,
                        duration away) {
  auto of = out_[lane];
  auto time = now - last_end_.value_or(now);
  last_end_ = now;
  auto& x = kinds_[of.kind];
  if (of.lanes != x.in_use())
    return; // of another kind, begun before a trial, with fewer rows than lanes
  auto& w = x.at_hand;
  w.time += time;
  w.cost += cost;
  w.away += away;
  ++w.num_steps;
  if (w.num_steps == steps_of_window * of.lanes || is_in_vain(x, w))
    close(x, of.lanes);
}

void lane_choice::rest() {
  last_end_.reset();
}

bool lane_choice::is_in_vain(const kind& x, const window& w) {
  return x.tried > 0 && w.num_steps == steps_of_glance * x.tried
         && seconds(w.time)
              > clearly_worse * w.cost * x.of[x.best].time_per_cost;
}

void lane_choice::close(kind& x, uint32_t k) {
  auto w = std::exchange(x.at_hand, {});
  auto& seen = x.of[k];
  auto time = seconds(w.time);
  if (time <= 0 || w.cost <= 0)
    return;
  auto measured = time / w.cost;
  auto waited = seconds(w.away) / (time * k);
  auto weight = seen.num_windows == 0 || x.tried > 0 ? 1 : weight_of_last;
  seen.time_per_cost += weight * (measured - seen.time_per_cost);
  seen.waited += weight * (waited - seen.waited);
  seen.away += weight * (seconds(w.away) / w.num_steps - seen.away);
  ++seen.num_windows;
  auto is_another = std::abs(seen.time_per_cost - x.settled)
                    > another_time * x.settled;
  if (k == x.best && x.settled > 0 && is_another)
    settle(x, windows_between_trials);
  judge(x, k);
}

void lane_choice::settle(kind& x, uint32_t pause) {
  x.pause = pause;
  x.settled = x.of[x.best].time_per_cost;
}

void lane_choice::judge(kind& x, uint32_t k) {
  auto was_trial = std::exchange(x.tried, 0) > 0;
  ++x.since_trial;
  auto& best = x.of[x.best];
  if (k != x.best
      && x.of[k].time_per_cost < clearly_better * best.time_per_cost) {
    auto went_up = k > x.best;
    x.best = k;
    settle(x, windows_between_trials);
    // It may go on that way at once.
    if (went_up && k < most_ && x.of[k + 1].num_windows == 0)
      plan_trial(x);
    return;
  }
  if (was_trial)
    settle(x, std::min(2 * std::max(x.pause, windows_between_trials),
                       most_windows_between_trials));
  auto is_new = x.best < most_ && x.of[x.best + 1].num_windows == 0
                && may_gain(x.of[x.best]);
  if (is_new || x.since_trial > std::max(x.pause, windows_between_trials))
    plan_trial(x);
}

/// What is hidden is at most what was waited for.
bool lane_choice::may_gain(const experience& x) const {
  return x.waited > worth_hiding && x.away > of_step_;
}

/// Tries the neighbours in turn, a larger one only where there is something to
/// hide.
void lane_choice::plan_trial(kind& x) const {
  auto may_grow = x.best < most_ && may_gain(x.of[x.best]);
  auto may_shrink = x.best > 1;
  x.since_trial = 0;
  if (!may_grow && !may_shrink)
    return;
  x.last_was_larger = may_grow && (!x.last_was_larger || !may_shrink);
  x.tried = x.last_was_larger ? x.best + 1 : x.best - 1;
}

} // namespace troupe
