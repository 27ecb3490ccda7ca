#include "runtime/balance/expert_plan.hpp"

#include "runtime/balance/expert_balancer.hpp"
#include "runtime/balance/plan_check.hpp"
#include "runtime/formatted.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>

namespace troupe::balance {

namespace {

/// Copies that a plan may always have in a layer.
constexpr double few_copies = 8;

/// With the best shares that weights can say.
layer_layout settled(const layer_state& x,
                     const std::vector<uint32_t>& experts) {
  slot_flow flow{x.shape, experts, x.loads};
  flow.solve();
  flow.level_out();
  return weighted(x.shape, flow.layout());
}

void take(const layout_step& step, std::vector<uint32_t>& experts) {
  experts[step.first.slot] = step.first.expert;
  if (step.second)
    experts[step.second->slot] = step.second->expert;
}

std::vector<uint32_t> after(std::vector<uint32_t> experts,
                            std::span<const layout_step> steps) {
  for (auto& x : steps)
    take(x, experts);
  return experts;
}

/// What somebody else says that his steps gain is not believed.
void measure(const layer_state& x, std::vector<layout_step>& steps) {
  auto experts = x.present->experts;
  slot_flow flow{x.shape, experts, x.loads};
  auto most = flow.solve();
  for (auto& step : steps) {
    take(step, experts);
    flow = slot_flow{x.shape, experts, x.loads};
    step.before = most;
    step.after = most = flow.solve();
  }
}

/// Asks one policy, and the other where the first one fails.
class policies {
public:
  policies(expert_policy* first, const std::function<clock::instant()>& time,
           const plan_limits& limits)
    : first_(first), time_(time), until_(time() + limits.budget),
      least_gain_(limits.least_gain) {
  }

  std::vector<layout_step> ask(const layer_state& x) {
    if (first_) {
      auto out = first_->plan(x);
      auto ok = check_plan(x, out);
      if (!ok)
        refuse(ok.why().message);
      else if (time_() > until_)
        refuse("it has taken longer than it may");
      if (first_) {
        measure(x, out.steps);
        return std::move(out.steps);
      }
    }
    balance_options options{.least_gain = least_gain_};
    // Of few slots a share is not even one exchange.
    options.most_copied = std::max(options.most_copied,
                                   few_copies / double(x.shape.num_slots));
    if (least_gain_ == 0) // copies cost nothing
      options.most_copied = 1;
    return expert_balancer{options}.plan(x).steps;
  }

  const std::string& refusal() const {
    return refusal_;
  }

private:
  void refuse(const std::string& why) {
    refusal_ = why;
    first_ = nullptr;
  }

  expert_policy* first_;
  const std::function<clock::instant()>& time_;
  const clock::instant until_;
  const double least_gain_;
  std::string refusal_;
};

/// Whether a layer gains more than chance may have made it seem to.
bool is_worth_it(const layer_goal& x, const plan_limits& limits) {
  auto noise = 1 / std::sqrt(x.mean);
  return x.before - x.after
         >= x.mean * std::max(limits.least_improvement, noise);
}

std::optional<layer_goal> plan_layer(placed_layer at, policies& ask,
                                     const plan_limits& limits) {
  auto& x = at.state;
  auto now = fill_of(x.shape, *x.present, x.loads);
  layer_goal out{std::move(at), {}, now.most, now.most, now.mean};
  auto sum = now.mean * x.shape.num_workers;
  if (sum <= 0)
    return std::nullopt;
  if (sum < limits.least_rows * out.at.num_real)
    return out;
  auto& state = out.at.state;
  out.steps = ask.ask(state);
  out.steps.resize(worth_taking(out.steps, limits.least_gain * now.mean,
                                std::numeric_limits<double>::max()));
  auto then = settled(state, after(state.present->experts, out.steps));
  out.after = fill_of(state.shape, then, state.loads).most;
  if (is_worth_it(out, limits))
    return out;
  out.steps.clear();
  out.after = out.before;
  return out;
}

// -- changes ------------------------------------------------------------------

/// Which experts of the model a worker holds, by the slots of a layout.
std::vector<std::set<uint32_t>> held_by(const placed_layer& x,
                                        std::span<const uint32_t> experts) {
  std::vector<std::set<uint32_t>> out(x.workers.size());
  for (uint32_t s = 0; s < experts.size(); ++s)
    if (experts[s] < x.num_real)
      out[x.state.shape.worker_of(s)].insert(experts[s]);
  return out;
}

/// Experts that come, by worker.
std::vector<std::vector<uint32_t>>
arrivals(const std::vector<std::set<uint32_t>>& from,
         const std::vector<std::set<uint32_t>>& to) {
  std::vector<std::vector<uint32_t>> out(to.size());
  for (size_t w = 0; w < to.size(); ++w)
    std::ranges::set_difference(to[w], from[w], std::back_inserter(out[w]));
  return out;
}

/// How many of the steps can be taken at once.
size_t num_fitting(const layer_goal& goal, uint32_t most_copies) {
  auto& x = goal.at;
  auto experts = x.state.present->experts;
  auto from = held_by(x, experts);
  size_t out = 0;
  for (size_t i = 0; i < goal.steps.size(); ++i) {
    take(goal.steps[i], experts);
    auto come = arrivals(from, held_by(x, experts));
    size_t copies = 0;
    auto has_room = true;
    for (size_t w = 0; w < come.size(); ++w) {
      copies += come[w].size();
      has_room = has_room && come[w].size() <= x.free_slots[w];
    }
    if (has_room && copies <= most_copies)
      out = i + 1;
  }
  return out;
}

/// The replicas of a layer, which are in another placement beside those of
/// other layers.
class layer_writer {
public:
  layer_writer(const placement& now, const placed_layer& x) : x_(x) {
    for (uint32_t e = 0; e < now.num_experts(); ++e)
      for (auto& r : now.replicas_of(x.moe_layer, e)) {
        slot_of_[{r.at.worker, e}] = r.at.slot;
        used_[r.at.worker].insert(r.at.slot);
      }
  }

  std::vector<placed_expert> write(const layer_layout& layout) {
    std::map<uint32_t, std::vector<size_t>> by_expert;
    for (size_t s = 0; s < layout.experts.size(); ++s)
      if (layout.experts[s] < x_.num_real)
        by_expert[layout.experts[s]].push_back(s);
    std::vector<placed_expert> out;
    for (auto& [expert, slots] : by_expert) {
      std::vector<double> shares;
      for (auto s : slots)
        shares.push_back(layout.shares[s]);
      auto weights = weights_of(shares);
      for (size_t i = 0; i < slots.size(); ++i) {
        auto worker = x_.workers[x_.state.shape.worker_of(uint32_t(slots[i]))];
        out.push_back({uint16_t(x_.moe_layer),
                       uint16_t(expert),
                       {{worker, slot_for(worker, expert)}, weights[i]}});
      }
    }
    return out;
  }

private:
  uint16_t slot_for(worker_id worker, uint32_t expert) {
    if (auto i = slot_of_.find({worker, expert}); i != slot_of_.end())
      return i->second;
    uint16_t out = 0;
    auto& used = used_[worker];
    while (used.contains(out))
      ++out;
    used.insert(out);
    return out;
  }

  const placed_layer& x_;
  std::map<std::pair<worker_id, uint32_t>, uint16_t> slot_of_;
  std::map<worker_id, std::set<uint16_t>> used_; ///< Also by who is to go.
};

/// What is wrong at present, and what becomes of it.
std::string reason_of(const layer_goal& goal, const worker_fill& was,
                      const worker_fill& is) {
  auto& x = goal.at.state;
  auto loads = worker_loads(x.shape, *x.present, x.loads);
  auto fullest = std::ranges::max_element(loads) - loads.begin();
  return formatted("worker %u got %.2f times the mean, the fullest gets %.2f",
                   unsigned{goal.at.workers[size_t(fullest)]},
                   was.most / was.mean, is.most / was.mean);
}

/// Who has an expert no more, for each that comes.
void note_copies(const layer_goal& goal,
                 const std::vector<std::set<uint32_t>>& from,
                 const std::vector<std::set<uint32_t>>& to,
                 const worker_fill& was, const worker_fill& is,
                 std::vector<expert_copy>& out) {
  auto& workers = goal.at.workers;
  auto gained = (was.most - is.most) / was.mean;
  auto reason = reason_of(goal, was, is);
  std::map<uint32_t, std::vector<worker_id>> leaving;
  auto gone = arrivals(to, from), come = arrivals(from, to);
  size_t count = 0;
  for (size_t w = 0; w < workers.size(); ++w) {
    count += come[w].size();
    for (auto e : gone[w])
      leaving[e].push_back(workers[w]);
  }
  for (size_t w = 0; w < workers.size(); ++w)
    for (auto e : come[w]) {
      expert_copy x{goal.at.moe_layer,      e,     {}, workers[w],
                    gained / double(count), reason};
      if (auto& from = leaving[e]; !from.empty()) {
        x.from = from.back();
        from.pop_back();
      }
      out.push_back(std::move(x));
    }
}

/// Goes as far with one layer as there is room. Returns whether that is
/// anywhere.
bool advance(const placement& now, layer_goal& goal, uint32_t most_copies,
             next_change& out) {
  auto& x = goal.at.state;
  auto n = num_fitting(goal, most_copies);
  if (n == 0 && num_fitting(goal, UINT32_MAX) > 0)
    return false; // with the next change
  auto was = fill_of(x.shape, *x.present, x.loads);
  auto was_held = held_by(goal.at, x.present->experts);
  auto layout
    = settled(x, after(x.present->experts, std::span{goal.steps}.first(n)));
  auto is = fill_of(x.shape, layout, x.loads);
  if (n == 0) // there are only shares left to set, or there is no room
    goal.steps.clear();
  goal.steps.erase(goal.steps.begin(), goal.steps.begin() + long(n));
  goal.is_done = goal.steps.empty();
  if (n == 0 && is.most >= was.most)
    return false;
  auto held = held_by(goal.at, layout.experts);
  note_copies(goal, was_held, held, was, is, out.copies);
  std::erase_if(out.next.replicas,
                [&](auto& r) { return r.moe_layer == goal.at.moe_layer; });
  auto replicas = layer_writer{now, goal.at}.write(layout);
  out.next.replicas.insert(out.next.replicas.end(), replicas.begin(),
                           replicas.end());
  for (size_t w = 0; w < held.size(); ++w)
    goal.at.free_slots[w] += uint32_t(was_held[w].size() - held[w].size());
  x.present = std::move(layout);
  return true;
}

} // namespace

expert_plan plan_experts(const plan_matter& x, expert_policy* first,
                         const std::function<clock::instant()>& time) {
  policies ask{first, time, x.limits};
  expert_plan out;
  double before = 0, then = 0, balance = 0, planned = 0;
  size_t count = 0;
  for (uint32_t l = 0; l < x.now.num_moe_layers(); ++l) {
    auto at = see_layer(x.now, l, x.loads.loads.at(l), x.absent);
    if (at)
      at->state.shape.least_replicas = x.least_replicas;
    auto goal = at ? plan_layer(std::move(*at), ask, x.limits) : std::nullopt;
    if (!goal)
      continue;
    ++count;
    before += goal->before / goal->mean;
    then += goal->after / goal->mean;
    balance += goal->mean / goal->before;
    planned += goal->mean / goal->after;
    if (goal->after < goal->before)
      out.goals.push_back(std::move(*goal));
  }
  out.refusal = ask.refusal();
  if (count == 0)
    return out;
  out.balance = balance / double(count);
  out.planned = planned / double(count);
  out.gain = 1 - then / before;
  std::ranges::stable_sort(out.goals, std::greater{}, [](auto& goal) {
    return (goal.before - goal.after) / goal.mean;
  });
  return out;
}

std::optional<next_change> cut_change(const placement& now, expert_plan& plan,
                                      uint32_t most_copies) {
  next_change out{now.lists(), {}};
  ++out.next.epoch;
  auto changes = false;
  for (auto& goal : plan.goals) {
    if (goal.is_done || out.copies.size() >= most_copies)
      continue;
    auto left = most_copies - uint32_t(out.copies.size());
    changes |= advance(now, goal, left, out);
  }
  if (!changes)
    return std::nullopt;
  return out;
}

} // namespace troupe::balance
