#include "runtime/sim/world.hpp"

#include "runtime/fnv.hpp"

#include <algorithm>

namespace troupe {

namespace {

/// Cancelled events that are always borne with.
constexpr size_t few_cancelled = 1024;

} // namespace

world::world(uint64_t seed) : seed_(seed), order_(stream("order")) {
  lives_.emplace_back(no_node, now_);
}

/// What is left may hold things that speak to the world as they go: it is
/// handed out first.
world::~world() {
  for (life_id life = 0; life < lives_.size(); ++life) {
    lives_[life].is_over = true;
    auto left = take_all(life);
  }
}

random_stream world::stream(std::string_view name) const {
  return random_stream{random_stream::mix(seed_) ^ fnv_1a(name)};
}

// -- lives --------------------------------------------------------------------

life_id world::begin_life(node_id node) {
  lives_.emplace_back(node, now_);
  auto life = life_id(lives_.size() - 1);
  note(trace_kind::node_started, life);
  return life;
}

void world::end_life(life_id life) {
  CHECK(life != no_life);
  auto& x = lives_.at(life);
  if (std::exchange(x.is_over, true))
    return;
  x.is_paused = false;
  note(trace_kind::node_ended, life);
  take_all(life); // They go in here, in order, while the world is whole.
  while (!x.at_end.empty()) {
    auto next = std::move(x.at_end.back());
    x.at_end.pop_back();
    next();
  }
}

void world::at_end(life_id life, job what) {
  auto& x = lives_.at(life);
  if (x.is_over)
    return what();
  x.at_end.push_back(std::move(what));
}

bool world::is_alive(life_id life) const {
  return !lives_.at(life).is_over;
}

node_id world::node_of(life_id life) const {
  return lives_.at(life).node;
}

life_id world::life_of(node_id node) const {
  for (auto life = life_id(lives_.size() - 1); life > no_life; --life)
    if (lives_[life].node == node && !lives_[life].is_over)
      return life;
  return no_life;
}

node_time& world::clock_of(life_id life) {
  return lives_.at(life).time;
}

// -- what nodes suffer --------------------------------------------------------

void world::pause(node_id node) {
  for (life_id life = 1; life < lives_.size(); ++life) {
    auto& x = lives_[life];
    if (x.node != node || x.is_over || std::exchange(x.is_paused, true))
      continue;
    std::erase_if(ready_, [&](auto& y) {
      if (y.life == life)
        x.held_jobs.push_back(std::move(y.what));
      return y.life == life;
    });
    note(trace_kind::node_paused, life);
  }
}

void world::resume(node_id node) {
  for (life_id life = 1; life < lives_.size(); ++life) {
    auto& x = lives_[life];
    if (x.node != node || x.is_over || !std::exchange(x.is_paused, false))
      continue;
    note(trace_kind::node_resumed, life);
    for (auto& what : std::exchange(x.held_jobs, {}))
      ready_.push_back({life, std::move(what)});
    give_back(std::exchange(x.held_dates, {}));
  }
}

void world::crash(node_id node) {
  for (life_id life = 1; life < lives_.size(); ++life)
    if (lives_[life].node == node)
      end_life(life);
}

bool world::is_paused(life_id life) const {
  return lives_.at(life).is_paused;
}

void world::slow(node_id node, double factor) {
  CHECK(factor > 0);
  std::erase_if(slow_, [=](auto& x) { return x.node == node; });
  slow_.push_back({node, factor});
}

double world::slowness(node_id node) const {
  auto i = std::ranges::find(slow_, node, &slow_node::node);
  return i == slow_.end() ? 1 : i->factor;
}

// -- what is to happen --------------------------------------------------------

event_id world::at(life_id life, virtual_instant when, job what) {
  CHECK(what);
  if (lives_.at(life).is_over)
    return 0;
  auto index = take_slot(life, std::move(what));
  push({std::max(when, now_), ++last_sequence_, index});
  return event_id{slots_[index].generation} << 32 | index;
}

void world::cancel(event_id id) {
  auto index = uint32_t(id);
  if (id == 0 || slots_.at(index).generation != id >> 32)
    return;
  auto gone = std::move(slots_[index].what);
  num_cancelled_ += bool(gone);
  if (num_cancelled_ > few_cancelled && num_cancelled_ > dates_.size() / 2)
    sweep();
}

void world::make_ready(life_id life, job what) {
  CHECK(what);
  auto& x = lives_.at(life);
  if (x.is_over)
    return;
  if (x.is_paused)
    x.held_jobs.push_back(std::move(what));
  else
    ready_.push_back({life, std::move(what)});
}

bool world::step() {
  if (ready_.empty())
    return run_event();
  run_ready();
  return true;
}

void world::run_until(virtual_instant when) {
  while (!ready_.empty() || is_due(when))
    step();
  now_ = std::max(now_, when);
}

size_t world::num_waiting() const {
  auto out = ready_.size() + slots_.size() - free_slots_.size();
  for (auto& x : lives_)
    out += x.held_jobs.size();
  return out - num_cancelled_;
}

void world::run_ready() {
  auto n = ready_.size();
  auto i = n == 1 ? 0 : order_.uniform(n);
  auto what = std::move(ready_[i].what);
  if (i + 1 < n)
    ready_[i] = std::move(ready_.back());
  ready_.pop_back();
  what();
}

bool world::run_event() {
  auto next = earliest();
  if (!next)
    return false;
  auto index = next->slot;
  auto when = next->when;
  drop_earliest();
  now_ = when;
  auto what = std::move(slots_[index].what);
  free_slot(index);
  what();
  return true;
}

bool world::is_due(virtual_instant when) {
  auto next = earliest();
  return next && next->when <= when;
}

bool world::is_heap_first() const {
  return due_.empty() || (!dates_.empty() && dates_.front().when <= now_);
}

const world::date* world::earliest() {
  while (!dates_.empty() || !due_.empty()) {
    auto& first = is_heap_first() ? dates_.front() : due_.front();
    auto next = first;
    auto& x = slots_[next.slot];
    auto& life = lives_[x.life];
    if (x.what && !life.is_paused)
      return &first;
    drop_earliest();
    if (x.what) {
      life.held_dates.push_back(next);
    } else {
      --num_cancelled_;
      free_slot(next.slot);
    }
  }
  return nullptr;
}

void world::drop_earliest() {
  if (!is_heap_first()) {
    due_.pop();
    return;
  }
  std::ranges::pop_heap(dates_, later{});
  dates_.pop_back();
}

void world::push(date x) {
  if (x.when <= now_)
    return due_.push(x);
  dates_.push_back(x);
  std::ranges::push_heap(dates_, later{});
}

void world::give_back(const std::vector<date>& held) {
  for (auto x : held) {
    if (x.when <= now_)
      x = {now_, ++last_sequence_, x.slot};
    push(x);
  }
}

uint32_t world::take_slot(life_id life, job what) {
  if (free_slots_.empty()) {
    slots_.emplace_back();
    free_slots_.push_back(uint32_t(slots_.size() - 1));
  }
  auto index = free_slots_.back();
  free_slots_.pop_back();
  slots_[index].what = std::move(what);
  slots_[index].life = life;
  return index;
}

void world::free_slot(uint32_t index) {
  ++slots_[index].generation;
  free_slots_.push_back(index);
}

/// Forgets what was cancelled. Sequences are unique: the order stays.
void world::sweep() {
  std::erase_if(dates_, [this](auto& x) {
    auto is_cancelled = !slots_[x.slot].what;
    if (is_cancelled)
      free_slot(x.slot);
    num_cancelled_ -= is_cancelled;
    return is_cancelled;
  });
  std::ranges::make_heap(dates_, later{});
}

std::vector<job> world::take_all(life_id life) {
  std::vector<job> out = std::exchange(lives_[life].held_jobs, {});
  std::erase_if(ready_, [&](auto& x) {
    if (x.life == life)
      out.push_back(std::move(x.what));
    return x.life == life;
  });
  give_back(std::exchange(lives_[life].held_dates, {}));
  for (auto& x : slots_)
    if (x.life == life && x.what) {
      out.push_back(std::move(x.what));
      ++num_cancelled_;
    }
  return out;
}

void world::note(trace_kind kind, life_id life) {
  record({.kind = kind, .node = lives_[life].node, .a = life});
}

} // namespace troupe
