#include "runtime/balance/slot_search.hpp"

#include "kernels/check.hpp"
#include "runtime/balance/slot_packing.hpp"

#include <algorithm>

namespace troupe::balance {

namespace {

constexpr size_t max_attempts = 3;
constexpr uint32_t max_pool_slots = 32;
constexpr uint32_t max_poured = 48;
constexpr double fits_alone = 0.9;

} // namespace

slot_search::slot_search(slot_flow flow, double enough)
  : flow_(std::move(flow)), enough_(enough), pool_(flow_.shape().num_workers) {
}

/// Union-find over experts with rows in several slots.
void slot_search::find_pools() {
  auto& shape = flow_.shape();
  for (uint32_t g = 0; g < shape.num_workers; ++g)
    pool_[g] = g;
  auto root = [&](uint32_t g) {
    while (pool_[g] != g)
      g = pool_[g] = pool_[pool_[g]];
    return g;
  };
  auto least = 1e-6 * level_;
  for (uint32_t e = 0; e < shape.num_experts; ++e) {
    if (flow_.count_of(e) < 2)
      continue;
    auto first = slot_flow::none;
    for (auto s = flow_.first_slot(e); s != slot_flow::none;
         s = flow_.next_slot(s)) {
      if (flow_.flow(s) <= least)
        continue;
      if (first == slot_flow::none)
        first = root(flow_.worker_of(s));
      else
        pool_[root(flow_.worker_of(s))] = first = root(first);
    }
  }
  pool_level_.assign(shape.num_workers, 0);
  pool_size_.assign(shape.num_workers, 0);
  shared_.assign(shape.num_workers, 0);
  for (uint32_t s = 0; s < shape.num_slots; ++s)
    if (flow_.count_of(flow_.expert_at(s)) > 1)
      shared_[flow_.worker_of(s)] += flow_.flow(s);
  for (uint32_t g = 0; g < shape.num_workers; ++g) {
    pool_[g] = root(g);
    pool_level_[pool_[g]] += flow_.level(g);
    ++pool_size_[pool_[g]];
  }
}

/// Below this the fullest has to be after so many copies to be among the best.
double slot_search::bar(double copies) const {
  auto least = best_.size() < max_attempts ? 0 : best_.back().score;
  return level_ * (1 - 1e-9) - least * copies;
}

void slot_search::offer(double after, const layout_step& step,
                        const std::optional<layout_step>& prepared) {
  after = std::max(after, enough_);
  if (after >= level_ * (1 - 1e-9))
    return;
  double moves = step.num_moves() + (prepared ? prepared->num_moves() : 0);
  // Slots for replicas are few: who fits beside light ones is moved rather.
  if (!step.second && flow_.load_of(step.first.expert) < fits_alone * enough_)
    ++moves;
  candidate x{(level_ - after) / moves, step, prepared};
  if (best_.size() == max_attempts && x.score <= best_.back().score)
    return;
  if (step.second && !may_exchange(step))
    return;
  if (best_.size() == max_attempts)
    best_.pop_back();
  auto at = std::ranges::upper_bound(best_, x.score, std::greater{},
                                     &candidate::score);
  best_.insert(at, x);
}

/// The fullest of an expert's other workers once they have this slot's rows.
double slot_search::worst_without(uint32_t slot) const {
  auto left = flow_.flow(slot);
  double sum = 0, most = 0;
  uint32_t count = 0;
  for (auto s = flow_.first_slot(flow_.expert_at(slot)); s != slot_flow::none;
       s = flow_.next_slot(s)) {
    if (s == slot)
      continue;
    auto level = flow_.level(flow_.worker_of(s));
    sum += level;
    ++count;
    most = std::max(most, level);
  }
  return left <= 0 ? 0 : std::max(most, (sum + left) / count);
}

/// No node gets more replicas of an expert than come to it if all have alike.
bool slot_search::may_add(uint32_t expert, uint32_t slot) const {
  auto& shape = flow_.shape();
  auto worker = flow_.worker_of(slot);
  if (flow_.holds(worker, expert))
    return false;
  return of_node(expert, shape.node_of(worker))
         < most_of_node(shape, flow_.count_of(expert) + 1);
}

bool slot_search::may_exchange(const layout_step& step) const {
  auto s = step.first.slot, t = step.second->slot;
  auto a = flow_.expert_at(s), b = flow_.expert_at(t);
  if (flow_.count_of(a) == 1 && flow_.count_of(b) == 1)
    return true;
  auto g = flow_.worker_of(s), h = flow_.worker_of(t);
  if (flow_.holds(h, a) || flow_.holds(g, b))
    return false;
  return is_spread(a, g, h) && is_spread(b, h, g);
}

/// Whether the node of `to` may have the replica that `from` has.
bool slot_search::is_spread(uint32_t expert, uint32_t from, uint32_t to) const {
  auto& shape = flow_.shape();
  auto node = shape.node_of(to);
  if (shape.node_of(from) == node || flow_.count_of(expert) == 1)
    return true;
  return of_node(expert, node) < most_of_node(shape, flow_.count_of(expert));
}

uint32_t slot_search::of_node(uint32_t expert, uint32_t node) const {
  uint32_t out = 0;
  for (auto s = flow_.first_slot(expert); s != slot_flow::none;
       s = flow_.next_slot(s))
    out += flow_.shape().node_of(flow_.worker_of(s)) == node;
  return out;
}

bool slot_search::may_drop(uint32_t slot) const {
  return flow_.count_of(flow_.expert_at(slot))
         > std::max(flow_.shape().least_replicas, 1u);
}

void slot_search::add_replicas() {
  auto& shape = flow_.shape();
  auto top = pool_[fullest_];
  // Whose rows can go elsewhere: those who have most of them here.
  uint32_t hot[3] = {};
  double amount[3] = {-1, -1, -1};
  auto each = shape.slots_of_worker();
  for (uint32_t s = fullest_ * each; s < (fullest_ + 1) * each; ++s) {
    auto x = flow_.flow(s);
    for (auto i = 0; i < 3; ++i)
      if (x > amount[i]) {
        for (auto j = 2; j > i; --j) {
          amount[j] = amount[j - 1];
          hot[j] = hot[j - 1];
        }
        amount[i] = x;
        hot[i] = flow_.expert_at(s);
        break;
      }
  }
  for (uint32_t s = 0; s < shape.num_slots; ++s) {
    auto g = flow_.worker_of(s);
    if (!may_drop(s) || pool_[g] == top)
      continue;
    auto base = flow_.level(g) - flow_.flow(s);
    auto worst = worst_without(s);
    if (std::max(base, worst) >= level_)
      continue;
    for (auto i = 0; i < 3 && amount[i] > 0; ++i) {
      if (flow_.expert_at(s) == hot[i] || !may_add(hot[i], s))
        continue;
      // All in the pool gain, if enough of the expert's rows can go.
      auto size = pool_size_[top];
      auto joined = (pool_level_[top] + base) / (size + 1);
      auto alone = std::max(level_ - flow_.load_of(hot[i]),
                            (level_ + base) / 2);
      auto after = flow_.count_of(hot[i]) > 1 ? joined
                                              : std::max(joined, alone);
      offer(std::max({after, worst, base}), {{s, hot[i]}, {}});
    }
  }
}

/// An expert of the fullest worker, or of those who share with it, against one
/// elsewhere that has fewer rows in its slot.
void slot_search::add_exchanges() {
  auto& shape = flow_.shape();
  auto top = pool_[fullest_];
  auto each = shape.slots_of_worker();
  if (pool_size_[top] * each > max_pool_slots) {
    add_exchanges(fullest_);
    if (!best_.empty())
      return;
  }
  for (uint32_t g = 0; g < shape.num_workers; ++g)
    if (pool_[g] == top)
      add_exchanges(g);
}

void slot_search::add_exchanges(uint32_t g) {
  auto& shape = flow_.shape();
  auto each = shape.slots_of_worker();
  auto top = pool_[g];
  double size = pool_size_[top];
  for (uint32_t h = 0; h < shape.num_workers; ++h) {
    if (pool_[h] == top || flow_.level(h) >= level_)
      continue;
    auto p = pool_[h];
    for (auto s = g * each; s < (g + 1) * each; ++s) {
      // To be among the best so many rows have to leave g, and no more may
      // come to h: for good, and until its shared rows have all left.
      auto limit = bar(2);
      auto least = (level_ - limit) * size;
      auto most = std::min(limit * pool_size_[p] - pool_level_[p],
                           limit - flow_.level(h) + shared_[h]);
      if (flow_.flow(s) <= least || most <= least)
        continue;
      for (auto t = h * each; t < (h + 1) * each; ++t) {
        auto less = flow_.flow(s) - flow_.flow(t);
        if (less <= least || less >= most)
          continue;
        auto after = std::max({level_ - less / size,
                               (pool_level_[p] + less) / pool_size_[p],
                               flow_.level(h) + less - shared_[h]});
        offer(after,
              {{s, flow_.expert_at(t)}, slot_change{t, flow_.expert_at(s)}});
      }
    }
  }
}

/// A replica whose expert can do without it once the worker that is left to it
/// has given something away: an exchange makes room for the replica of another.
void slot_search::add_prepared() {
  auto& shape = flow_.shape();
  auto hot = hottest();
  for (uint32_t s = 0; s < shape.num_slots; ++s) {
    auto b = flow_.expert_at(s);
    auto g = flow_.worker_of(s);
    if (flow_.count_of(b) != 2 || !may_drop(s) || b == hot || !may_add(hot, s))
      continue;
    auto base = flow_.level(g) - flow_.flow(s);
    auto rest = flow_.first_slot(b);
    if (rest == s)
      rest = flow_.next_slot(rest);
    if (auto x = find_relief(rest, flow_.flow(s), g)) {
      auto size = pool_size_[pool_[fullest_]];
      auto after
        = std::max({base, x->after,
                    pool_[g] == pool_[fullest_]
                      ? level_ - flow_.flow(s) / size
                      : (pool_level_[pool_[fullest_]] + base) / (size + 1)});
      offer(after, {{s, hot}, {}}, x);
    }
  }
}

/// The exchange after which the worker of slot `kept` can have so many `more`
/// rows and it and its partner are least full.
std::optional<layout_step> slot_search::find_relief(uint32_t kept, double more,
                                                    uint32_t avoided) const {
  auto& shape = flow_.shape();
  auto each = shape.slots_of_worker();
  auto g = flow_.worker_of(kept);
  std::optional<layout_step> out;
  auto best = level_ * (1 - 1e-6);
  for (auto s = g * each; s < (g + 1) * each; ++s) {
    if (s == kept || flow_.count_of(flow_.expert_at(s)) > 1)
      continue;
    for (uint32_t t = 0; t < shape.num_slots; ++t) {
      auto h = flow_.worker_of(t);
      auto less = flow_.flow(s) - flow_.flow(t);
      auto after = std::max(flow_.level(g) + more - less,
                            flow_.level(h) + less);
      if (less <= 0 || after >= best || h == avoided || h == g
          || pool_[h] == pool_[fullest_]
          || flow_.count_of(flow_.expert_at(t)) > 1)
        continue;
      best = after;
      out = layout_step{{s, flow_.expert_at(t)},
                        slot_change{t, flow_.expert_at(s)},
                        level_,
                        after};
    }
  }
  return out;
}

/// Who has most rows on the fullest worker.
uint32_t slot_search::hottest() const {
  auto each = flow_.shape().slots_of_worker();
  auto best = fullest_ * each;
  for (auto s = best; s < (fullest_ + 1) * each; ++s)
    if (flow_.flow(s) > flow_.flow(best))
      best = s;
  return flow_.expert_at(best);
}

slot_change slot_search::put(const slot_change& x) {
  slot_change was{x.slot, flow_.expert_at(x.slot)};
  flow_.put(x.slot, x.expert);
  return was;
}

/// Makes the changes, and lets rows flow. Returns what was there, in order.
std::vector<slot_change> slot_search::make(const layout_step& step) {
  std::vector<slot_change> was{put(step.first)};
  if (step.second)
    was.push_back(put(*step.second));
  uint32_t touched[] = {was[0].expert, step.first.expert};
  flow_.settle(touched, max_poured);
  return was;
}

/// Takes the steps if they hold what they promise.
bool slot_search::attempt(const candidate& x, std::vector<layout_step>& out) {
  flow_.save(saved_);
  auto level = level_;
  std::vector<slot_change> was;
  auto size = out.size();
  auto better = true;
  auto attempted = [&](layout_step step) {
    auto undone = make(step);
    was.insert(was.end(), undone.begin(), undone.end());
    step.before = level;
    step.after = level = flow_.relieve();
    out.push_back(step);
    return level <= step.before;
  };
  if (x.prepared)
    better = attempted(*x.prepared);
  better = better && attempted(x.step) && is_better(was);
  if (better)
    return true;
  out.resize(size);
  for (auto i = was.size(); i-- > 0;)
    flow_.put(was[i].slot, was[i].expert);
  flow_.restore(saved_);
  return false;
}

/// Others may be as full as the fullest was: then at least it is so no longer,
/// nor is anybody who has to do with the changes.
bool slot_search::is_better(std::span<const slot_change> changed) const {
  auto limit = level_ * (1 - 1e-9);
  auto now = flow_.level(flow_.fullest());
  if (now < limit)
    return true;
  if (now > level_ || flow_.level(fullest_) >= limit)
    return false;
  for (auto& x : changed)
    for (auto e : {x.expert, flow_.expert_at(x.slot)})
      for (auto s = flow_.first_slot(e); s != slot_flow::none;
           s = flow_.next_slot(s))
        if (flow_.level(flow_.worker_of(s)) >= limit)
          return false;
  return true;
}

void slot_search::mend(std::vector<layout_step>& out) {
  auto& shape = flow_.shape();
  auto each = shape.slots_of_worker();
  for (uint32_t s = 0; s < shape.num_slots; ++s) {
    auto is_twin = false;
    for (auto t = s / each * each; t < s; ++t)
      is_twin = is_twin || flow_.expert_at(t) == flow_.expert_at(s);
    if (!is_twin)
      continue;
    auto best = slot_flow::none;
    double most = -1;
    for (uint32_t e = 0; e < shape.num_experts; ++e)
      if (auto x = flow_.load_of(e) / flow_.count_of(e);
          x > most && !flow_.holds(flow_.worker_of(s), e)) {
        best = e;
        most = x;
      }
    CHECK(best != slot_flow::none); // There are more experts than slots here.
    layout_step step{{s, best}, {}, flow_.level(flow_.fullest())};
    make(step);
    step.after = flow_.level(flow_.fullest());
    out.push_back(step);
  }
}

bool slot_search::find_step(std::vector<layout_step>& out) {
  find_pools();
  best_.clear();
  add_replicas();
  add_exchanges();
  for (auto& x : best_)
    if (attempt(x, out))
      return true;
  best_.clear();
  add_prepared();
  for (auto& x : best_)
    if (attempt(x, out))
      return true;
  return false;
}

bool slot_search::improve(std::vector<layout_step>& out) {
  level_ = flow_.relieve();
  fullest_ = flow_.fullest();
  return level_ > enough_ && find_step(out);
}

} // namespace troupe::balance
