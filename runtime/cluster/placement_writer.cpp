#include "runtime/cluster/placement_writer.hpp"

#include "kernels/check.hpp"
#include "runtime/planted.hpp"

#include <utility>

namespace troupe {

using kind = writer_action::kind;

placement_writer::placement_writer(placement first, settings x)
  : settings_(std::move(x)), first_(std::move(first)),
    current_(first_.left_by(settings_.later)), goal_(current_),
    lost_(settings_.later), later_(settings_.later) {
}

std::vector<writer_action> placement_writer::take_actions() {
  return std::exchange(actions_, {});
}

void placement_writer::note(kind what, std::string why) {
  writer_action out;
  out.what = what;
  out.change = change_;
  out.epoch = current_.epoch();
  out.why = std::move(why);
  actions_.push_back(std::move(out));
}

void placement_writer::instruct(worker_id worker, slots_step step,
                                std::vector<layer_slot> slots) {
  auto epoch = current_.epoch();
  actions_.push_back(
    {kind::instruct, change_, worker, step, epoch, std::move(slots), {}});
}

// -- a change -----------------------------------------------------------------

result<void> placement_writer::ask(const placement_lists& next,
                                   clock::instant now) {
  if (phase_ != phase::idle)
    return failure{errc::overloaded,
                   "another change of the placement is under way"};
  auto change = plan_change(current_, next, absent());
  if (!change)
    return change.why();
  for (auto& [worker, slots] : change->arriving)
    if (leaving_.contains(current_.node_of(worker)))
      return failure{errc::refused, "the node of worker "
                                      + std::to_string(worker) + " is leaving"};
  keeps_goal_ = false;
  begin(std::move(*change), false, now);
  return {};
}

void placement_writer::begin(placement_change x, bool is_repair,
                             clock::instant now) {
  ++change_;
  pending_ = std::move(x);
  is_repair_ = is_repair;
  for_leaver_.reset();
  since_ = now;
  phase_ = phase::loading;
  for (auto& [worker, slots] : pending_.arriving) {
    workers_.insert(worker);
    instruct(worker, slots_step::load, slots);
  }
  if (workers_.empty() || PLANTED(told_before_loaded))
    tell(now);
}

void placement_writer::stepped(uint32_t change, worker_id worker,
                               slots_step step, const std::string& failure,
                               clock::instant now) {
  if (change != change_)
    return;
  if (phase_ == phase::loading && step == slots_step::load
      && workers_.contains(worker)) {
    if (!failure.empty())
      return abort("worker " + std::to_string(worker) + ": " + failure, now);
    workers_.erase(worker);
    if (workers_.empty())
      tell(now);
  } else if (phase_ == phase::retiring && step == slots_step::retire) {
    workers_.erase(worker);
    if (workers_.empty())
      end(now);
  }
}

/// This is the commit.
void placement_writer::tell(clock::instant now) {
  std::erase_if(returned_, [&](auto x) { return taking_in_.contains(x); });
  auto next = pending_.next.left_by(absent());
  if (!check_coverage(current_, next)) {
    returned_.merge(taking_in_);
    return abort("who was to hold its experts has been lost", now);
  }
  taking_in_.clear();
  current_ = std::move(next);
  if (!is_repair_ && !keeps_goal_)
    goal_ = pending_.next;
  for (auto node : std::exchange(came_, {})) // they are not in what was asked
    expect(node);
  phase_ = phase::telling;
  for (uint32_t w = 0; w < current_.num_workers(); ++w) {
    if (!current_.has_worker(worker_id(w)) || is_lost(worker_id(w)))
      continue;
    // Who has come back meanwhile keeps what it holds until it is taken in.
    auto leaving = returned_.contains(current_.node_of(worker_id(w)))
                     ? pending_.leaving.end()
                     : pending_.leaving.find(worker_id(w));
    instruct(worker_id(w), slots_step::serve,
             leaving == pending_.leaving.end() ? std::vector<layer_slot>{}
                                               : leaving->second);
  }
  note(kind::publish);
  for (auto& [rank, node] : settings_.ranks)
    if (!lost_.contains(node))
      ranks_.insert(rank);
  if (ranks_.empty())
    retire(now);
}

void placement_writer::taken(rank_id rank, uint32_t epoch, clock::instant now) {
  if (phase_ != phase::telling || epoch != current_.epoch())
    return;
  ranks_.erase(rank);
  if (ranks_.empty())
    retire(now);
}

void placement_writer::retire(clock::instant now) {
  phase_ = phase::retiring;
  for (uint32_t w = 0; w < current_.num_workers(); ++w)
    if (current_.has_worker(worker_id(w)) && !is_lost(worker_id(w))) {
      workers_.insert(worker_id(w));
      instruct(worker_id(w), slots_step::retire);
    }
  if (workers_.empty())
    end(now);
}

void placement_writer::end(clock::instant now) {
  phase_ = phase::idle;
  num_failures_ = 0;
  has_given_up_ = false;
  note(kind::done);
  repair(now);
}

void placement_writer::abort(const std::string& why, clock::instant now) {
  CHECK(phase_ == phase::loading);
  phase_ = phase::idle;
  workers_.clear();
  taking_in_.clear();
  for (auto& [worker, slots] : pending_.arriving)
    if (!is_lost(worker))
      instruct(worker, slots_step::drop);
  note(kind::abort, why);
  num_failures_ += is_repair_ ? 1 : 0;
  repair(now);
}

// -- leaving ------------------------------------------------------------------

result<leave_plan> placement_writer::plan_without(node_id node) const {
  if (phase_ != phase::idle)
    return failure{errc::overloaded,
                   "another change of the placement is under way"};
  return plan_leave(current_, goal_, closed(), node);
}

result<void> placement_writer::may_leave(node_id node) const {
  auto plan = plan_without(node);
  return plan ? result<void>{} : plan.why();
}

result<bool> placement_writer::leave(node_id node, clock::instant now) {
  auto plan = plan_without(node);
  if (!plan)
    return plan.why();
  leaving_.insert(node);
  if (plan->next.replicas == current_.lists().replicas)
    return false; // it holds nothing
  auto change = plan_change(current_, plan->next, absent());
  CHECK(change);
  keeps_goal_ = true; // who comes in its place is to have what is missing then
  begin(std::move(*change), false, now);
  if (phase_ == phase::loading)
    for_leaver_ = node;
  return true;
}

void placement_writer::stay(node_id node, clock::instant now) {
  if (leaving_.erase(node) == 0)
    return;
  hope();
  if (phase_ == phase::idle)
    repair(now);
  else if (phase_ == phase::loading && for_leaver_ == node)
    abort("who was to leave stays", now);
}

uint32_t placement_writer::num_slots_of(const slots_by_worker& slots,
                                        const std::set<worker_id>* without) {
  size_t out = 0;
  for (auto& [worker, some] : slots)
    if (!without || !without->contains(worker))
      out += some.size();
  return static_cast<uint32_t>(out);
}

// -- losses -------------------------------------------------------------------

void placement_writer::lost(node_id node, clock::instant now) {
  if (!lost_.insert(node).second)
    return;
  returned_.erase(node);
  leaving_.erase(node);
  hope();
  auto had_part = false;
  for (auto& [worker, slots] : pending_.arriving)
    had_part |= current_.node_of(worker) == node;
  auto waited = current_.num_waiting();
  current_ = current_.left_by(lost_);
  watch(now);
  std::erase_if(workers_, [&](auto x) { return current_.node_of(x) == node; });
  std::erase_if(ranks_, [&](auto x) { return settings_.ranks.at(x) == node; });
  switch (phase_) {
    case phase::idle:
      return repair(now);
    case phase::loading:
      if (had_part)
        return abort("a worker that was to load for it was lost", now);
      if (current_.num_waiting() > waited)
        return abort("experts were lost that have to be loaded first", now);
      return;
    case phase::telling:
      if (ranks_.empty())
        retire(now);
      return;
    case phase::retiring:
      if (workers_.empty())
        end(now);
  }
}

void placement_writer::back(node_id node, clock::instant now) {
  if (lost_.erase(node) == 0)
    return;
  auto workers = workers_of(node);
  if (workers.empty())
    return; // nothing has changed for experts
  hope();
  if (later_.erase(node) > 0) {
    expect(node);
    if (phase_ == phase::loading)
      came_.insert(node);
  }
  returned_.insert(node);
  // So that it knows the epoch before the one in which it has a part.
  if (current_.epoch() != first_.epoch())
    for (auto worker : workers)
      instruct(worker, slots_step::serve);
  if (phase_ == phase::idle)
    repair(now);
  else if (phase_ == phase::loading && is_repair_)
    abort("a node is back that may have what is being loaded", now);
}

std::vector<worker_id> placement_writer::workers_of(node_id node) const {
  std::vector<worker_id> out;
  for (uint32_t w = 0; w < current_.num_workers(); ++w)
    if (current_.has_worker(worker_id(w))
        && current_.node_of(worker_id(w)) == node)
      out.push_back(worker_id(w));
  return out;
}

/// Those to whom nobody turns.
std::set<node_id> placement_writer::absent() const {
  auto out = lost_;
  out.insert(returned_.begin(), returned_.end());
  return out;
}

/// Those on whom nothing is placed.
std::set<node_id> placement_writer::closed() const {
  auto out = absent();
  out.insert(leaving_.begin(), leaving_.end());
  return out;
}

/// It has come for the first time: from now on its part is wanted. Nobody else
/// has had its slots.
void placement_writer::expect(node_id node) {
  auto has_part = [&](auto& x) {
    return goal_.node_of(x.replica.at.worker) == node;
  };
  auto wanted = goal_.lists();
  if (std::ranges::any_of(wanted.replicas, has_part))
    return;
  for (auto& x : first_.lists().replicas)
    if (first_.node_of(x.replica.at.worker) == node)
      wanted.replicas.push_back(x);
  auto next = goal_.with(wanted);
  CHECK(next);
  goal_ = std::move(*next);
}

/// What they hold needs no loading. That they were heard says that they know
/// the newest epoch.
void placement_writer::take_in(clock::instant now) {
  taking_in_ = returned_;
  begin(plan_return(current_, first_, goal_, returned_), true, now);
}

bool placement_writer::can_place(const std::optional<repair_plan>& plan) const {
  return plan && !plan->leaves_waiting && num_failures_ < most_failures;
}

/// Loads elsewhere who is waiting; then whoever is held by too few.
void placement_writer::repair(clock::instant now) {
  CHECK(phase_ == phase::idle);
  if (current_.epoch() == first_.epoch()) { // they hold what it says
    returned_.clear();
    current_ = first_.left_by(lost_);
  }
  if (!returned_.empty() && num_failures_ < most_failures)
    return take_in(now);
  auto must = current_.num_waiting() > 0;
  auto plan = plan_repair(current_, goal_, closed());
  if (must && !can_place(plan)) {
    // Steps wait for as long as it takes whoever decides about it.
    if (can_place(plan_repair(current_, goal_, absent())))
      return note(kind::keep, "its slots are needed for "
                                + std::to_string(current_.num_waiting())
                                + " experts of a node that was lost");
    return give_up(", and there is no other place for them");
  }
  if (!can_place(plan))
    return;
  auto change = plan_change(current_, plan->next, absent());
  CHECK(change);
  begin(std::move(*change), true, now);
}

/// Who hears of a loss or a return hopes anew, and is to hear if in vain.
void placement_writer::hope() {
  num_failures_ = 0;
  if (std::exchange(has_given_up_, false))
    waiting_since_ = std::nullopt;
}

/// How long experts have been waiting, whoever is about to load them.
void placement_writer::watch(clock::instant now) {
  if (current_.num_waiting() == 0)
    waiting_since_ = std::nullopt;
  else if (!waiting_since_)
    waiting_since_ = now;
}

void placement_writer::give_up(const std::string& why) {
  if (!std::exchange(has_given_up_, true))
    note(kind::give_up, std::to_string(current_.num_waiting())
                          + " experts have no worker left" + why);
}

void placement_writer::tick(clock::instant now) {
  watch(now);
  if (waiting_since_ && now - *waiting_since_ >= settings_.patience_of_steps)
    give_up(", and loading them elsewhere takes long");
  if (phase_ != phase::loading || now - since_ < settings_.patience)
    return;
  if (is_repair_) // it would take no less time
    num_failures_ = most_failures;
  abort("experts were not loaded in time", now);
}

} // namespace troupe
