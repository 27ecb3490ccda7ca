#include "runtime/sim/fault_driver.hpp"

#include "kernels/check.hpp"
#include "runtime/fnv.hpp"
#include "runtime/sim/fault_plan.hpp"

#include <algorithm>
#include <map>
#include <utility>

namespace troupe {

namespace {

/// That it begins when its time comes.
double chance_of(const fault& x) {
  auto of_frames = form_of(x.kind).parameter == fault_parameter::share;
  return of_frames ? 1 : x.p;
}

node_id place_of(const std::vector<std::string>& nodes,
                 const std::string& name) {
  if (name.empty())
    return no_node;
  auto at = std::find(nodes.begin(), nodes.end(), name);
  CHECK(at != nodes.end());
  return static_cast<node_id>(at - nodes.begin());
}

} // namespace

std::string_view to_string(fault_outcome x) {
  constexpr std::array<std::string_view, 5> names
    = {"happened", "never_due", "not_drawn", "impossible", "no_effect"};
  return names.at(size_t(x));
}

fault_driver::fault_driver(std::vector<fault> plan,
                           std::vector<std::string> nodes,
                           virtual_instant begin, uint64_t seed,
                           fault_target& target)
  : target_(target) {
  std::map<uint64_t, uint64_t> equal; // equal faults have chances of their own
  for (auto& x : plan) {
    auto name = fnv_1a(std::string_view{render({x})});
    auto own = random_stream::mix(name + equal[name]++);
    auto i = static_cast<uint32_t>(entries_.size());
    auto place = place_of(nodes, x.event_node);
    auto& e = entries_.emplace_back(entry{
      std::move(x), place, random_stream{random_stream::mix(seed ^ own)}});
    if (e.what.trigger == fault_trigger::on)
      waiting_.at(size_t(e.what.event)).push_back(i);
    else
      e.next = begin
               + (e.what.trigger == fault_trigger::at ? e.what.at
                                                      : e.what.every);
  }
  reckon();
}

void fault_driver::hear(const trace_entry& x) {
  auto& waiting = waiting_[size_t(x.kind)];
  for (size_t k = 0; k < waiting.size();) {
    auto& e = entries_[waiting[k]];
    auto is_meant = e.event_node == no_node || e.event_node == x.node;
    if (!is_meant || ++e.heard < e.what.nth_event) {
      ++k;
      continue;
    }
    ++e.calls;
    if (!e.chance.chance(chance_of(e.what))) {
      ++k;
      continue;
    }
    e.is_drawn = e.is_called = is_called_ = true;
    waiting.erase(waiting.begin() + std::ptrdiff_t(k));
  }
}

void fault_driver::act(virtual_instant now) {
  for (auto& e : entries_)
    for (auto& x : e.begun)
      if (x.ends <= now && !x.healed)
        heal(x, now);
  if (is_over_)
    return reckon();
  for (auto& e : entries_) {
    if (std::exchange(e.is_called, false))
      begin(e, now);
    while (e.next <= now)
      call(e, now);
  }
  reckon();
}

/// The time of a fault has come, perhaps for the first of several times.
void fault_driver::call(entry& x, virtual_instant now) {
  ++x.calls;
  auto repeats = x.what.trigger == fault_trigger::every;
  x.next = repeats && x.calls < x.what.times ? x.next + x.what.every
                                             : virtual_instant::max();
  if (!x.chance.chance(chance_of(x.what)))
    return;
  x.is_drawn = true;
  begin(x, now);
}

void fault_driver::begin(entry& x, virtual_instant now) {
  auto handle = target_.begin(x.what);
  if (!handle) {
    x.refusal = handle.why().message;
    return;
  }
  occurrence o;
  o.handle = *handle;
  o.begun = now;
  if (x.what.lasts.count() > 0)
    o.ends = now + x.what.lasts;
  look_for_evidence(x.begun.emplace_back(std::move(o)));
}

void fault_driver::heal(occurrence& x, virtual_instant now) {
  look_for_evidence(x);
  x.healed = now;
  target_.heal(x.handle);
}

void fault_driver::look_for_evidence(occurrence& x) {
  if (x.evidence.empty())
    x.evidence = target_.evidence(x.handle).value_or("");
}

/// When something is due next.
void fault_driver::reckon() {
  is_called_ = false;
  next_ = virtual_instant::max();
  for (auto& e : entries_) {
    if (!is_over_) {
      next_ = std::min(next_, e.next);
      is_called_ = is_called_ || e.is_called;
    }
    for (auto& x : e.begun)
      if (!x.healed)
        next_ = std::min(next_, x.ends);
  }
}

bool fault_driver::is_idle() const {
  return !is_called_ && next_ == virtual_instant::max();
}

void fault_driver::stop(virtual_instant now) {
  is_over_ = true;
  for (auto& list : waiting_)
    list.clear();
  for (auto& e : entries_)
    for (auto& x : e.begun)
      if (x.ends != virtual_instant::max() && !x.healed)
        heal(x, now);
  reckon();
}

std::vector<fault_report> fault_driver::reports() {
  std::vector<fault_report> out;
  for (auto& e : entries_) {
    for (auto& x : e.begun)
      look_for_evidence(x);
    out.push_back(report_of(e));
  }
  return out;
}

fault_report fault_driver::report_of(const entry& x) const {
  fault_report out;
  out.what = describe(x.what);
  out.must_happen = x.what.must_happen;
  out.times = static_cast<uint32_t>(x.begun.size());
  auto without = uint32_t{0};
  for (auto& o : x.begun) {
    if (!out.first_begin)
      out.first_begin = o.begun;
    if (o.healed)
      out.last_end = o.healed;
    without += o.evidence.empty() ? 1 : 0;
    if (!o.evidence.empty())
      out.evidence = o.evidence;
  }
  auto says = [&](fault_outcome outcome, const std::string& why) {
    out.outcome = outcome;
    out.why = out.what + ": " + why;
  };
  auto times = std::to_string(out.times);
  if (!x.refusal.empty() && out.times == 0)
    says(fault_outcome::impossible, "it could not begin: " + x.refusal);
  else if (out.times > 0 && without == out.times)
    says(fault_outcome::no_effect,
         "it began " + times
           + " times, and nothing shows that it did anything");
  else if (x.calls == 0)
    says(fault_outcome::never_due, "its time never came");
  else if (out.times == 0 && x.is_drawn)
    says(fault_outcome::never_due, "the run was over before it began");
  else if (out.times == 0)
    says(fault_outcome::not_drawn, "its chance never came");
  else
    out.outcome = fault_outcome::happened;
  return out;
}

} // namespace troupe
