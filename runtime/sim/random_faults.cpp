#include "runtime/sim/random_faults.hpp"

#include "kernels/check.hpp"
#include "runtime/fnv.hpp"
#include "runtime/sim/fault_plan.hpp"
#include "runtime/sim/random_stream.hpp"

#include <algorithm>
#include <bit>

namespace troupe {

namespace {

/// From `least` to `most`, each order of magnitude as likely as another.
uint64_t draw_scaled(random_stream& chance, uint64_t least, uint64_t most) {
  least = std::max<uint64_t>(least, 1);
  most = std::max(least, most);
  auto low = std::bit_width(least);
  auto width = low + int(chance.uniform(std::bit_width(most) - low + 1));
  auto floor = std::max(uint64_t{1} << (width - 1), least);
  auto ceiling = width == 64 ? most
                             : std::min((uint64_t{1} << width) - 1, most);
  return floor + chance.uniform(ceiling - floor + 1);
}

/// At least a microsecond, and no parts of one: people read it.
virtual_duration whole_microseconds(uint64_t nanoseconds) {
  return std::chrono::microseconds{std::max<uint64_t>(nanoseconds / 1000, 1)};
}

virtual_duration draw_span(random_stream& chance, virtual_duration least,
                           virtual_duration most) {
  return whole_microseconds(
    draw_scaled(chance, uint64_t(least.count()), uint64_t(most.count())));
}

/// Never that of the gateway.
bool ends_a_process(fault_kind x) {
  return x == fault_kind::kill || x == fault_kind::leave;
}

/// Names for one fault.
class target_drawer {
public:
  target_drawer(random_stream& chance, const run_facts& facts)
    : chance_(chance), facts_(facts) {
  }

  /// Whether there is anybody that it can befall.
  bool has_target(fault_kind kind) const {
    switch (form_of(kind).target) {
      case fault_target_kind::node:
        return kind == fault_kind::join
                 ? !facts_.later.empty()
                 : !ends_a_process(kind) || facts_.nodes.size() > 1;
      case fault_target_kind::link:
        return facts_.nodes.size() > 1;
      case fault_target_kind::request:
        break;
    }
    return facts_.num_requests > 0;
  }

  void draw(fault& x) {
    if (!has_target(x.kind))
      return;
    switch (form_of(x.kind).target) {
      case fault_target_kind::node:
        if (x.node == any_name)
          x.node = facts_.nodes[draw_node(x.kind)];
        break;
      case fault_target_kind::link:
        draw_link(x);
        break;
      case fault_target_kind::request:
        if (!x.request)
          x.request = uint32_t(chance_.uniform(facts_.num_requests));
    }
  }

private:
  size_t draw_node(fault_kind kind) {
    if (kind == fault_kind::join)
      return facts_.later[chance_.uniform(facts_.later.size())];
    if (!ends_a_process(kind))
      return chance_.uniform(facts_.nodes.size());
    auto node = chance_.uniform(facts_.nodes.size() - 1);
    return node + (node >= facts_.gateway ? 1 : 0);
  }

  void draw_link(fault& x) {
    std::vector<std::pair<std::string, std::string>> fitting;
    auto consider = [&](size_t a, size_t b) {
      auto& from = facts_.nodes[a];
      auto& to = facts_.nodes[b];
      if ((x.node == any_name || x.node == from)
          && (x.peer == any_name || x.peer == to))
        fitting.emplace_back(from, to);
    };
    if (x.node != any_name && x.peer != any_name)
      return;
    for (auto& [a, b] : facts_.links) {
      consider(a, b);
      consider(b, a);
    }
    if (fitting.empty()) // none that talk
      for (size_t a = 0; a < facts_.nodes.size(); ++a)
        for (size_t b = 0; b < facts_.nodes.size(); ++b)
          if (a != b)
            consider(a, b);
    std::tie(x.node, x.peer) = fitting[chance_.uniform(fitting.size())];
  }

  random_stream& chance_;
  const run_facts& facts_;
};

// -- random faults ------------------------------------------------------------

/// How often a device is asked for what `kind` lets fail.
uint64_t calls_of_a_node(fault_kind kind, const run_facts& facts) {
  auto calls = kind == fault_kind::alloc_fail
                 ? facts.events_before[size_t(trace_kind::allocation)]
                 : facts.events[size_t(trace_kind::operation_ended)];
  return calls / facts.nodes.size() + 1;
}

void draw_parameter(fault& x, random_stream& chance, const run_facts& facts) {
  switch (form_of(x.kind).parameter) {
    case fault_parameter::factor:
      x.factor = double(2 + chance.uniform(99));
      break;
    case fault_parameter::extra:
      x.extra = draw_span(chance, facts.length / 1000, facts.patience * 2);
      break;
    case fault_parameter::pace:
      x.pace = draw_span(chance, facts.length / 1000, facts.length / 4);
      break;
    case fault_parameter::bytes_per_second:
      x.bytes_per_second = draw_scaled(chance, 100'000, 1'000'000'000);
      break;
    case fault_parameter::nth:
      x.nth = draw_scaled(chance, 1, calls_of_a_node(x.kind, facts));
      break;
    case fault_parameter::share:
      x.p = double(draw_scaled(chance, 1, 500)) / 1000;
      break;
    case fault_parameter::none:
      break;
  }
}

/// Frames of all classes as often as of one. Rows alone are what a step can
/// miss while nobody is missing.
void draw_class(fault& x, random_stream& chance) {
  constexpr frame_filter some[] = {frame_filter::rows, frame_filter::rows,
                                   frame_filter::control,
                                   frame_filter::heartbeat};
  if (form_of(x.kind).by_class && chance.uniform(2) == 0)
    x.frames = some[chance.uniform(std::size(some))];
}

void draw_time(fault& x, random_stream& chance, const run_facts& facts) {
  if (x.kind == fault_kind::alloc_fail)
    return; // at once: later nothing is claimed
  std::vector<trace_kind> kinds;
  for (size_t i = 0; i < num_trace_kinds; ++i)
    if (facts.events[i] > 0)
      kinds.push_back(trace_kind(i));
  if (kinds.empty() || chance.uniform(2) == 0) {
    x.at = whole_microseconds(chance.uniform(uint64_t(facts.length.count())));
    return;
  }
  x.trigger = fault_trigger::on;
  x.event = kinds[chance.uniform(kinds.size())];
  x.nth_event = 1 + chance.uniform(facts.events[size_t(x.event)]);
}

/// Without rows for about as long as a step waits for them, or of any order of
/// magnitude.
virtual_duration draw_length(const fault& x, random_stream& chance,
                             const run_facts& facts) {
  if (x.frames == frame_filter::rows && facts.step_patience.count() > 0
      && chance.uniform(2) == 0)
    return whole_microseconds(
      chance.uniform(2 * uint64_t(facts.step_patience.count())));
  return draw_span(chance, facts.length / 1000,
                   std::max(facts.patience * 3, facts.length / 2));
}

/// Whether there is anything that it could do.
bool is_of_use(fault_kind kind, random_stream& chance, const run_facts& facts) {
  if (kind == fault_kind::alloc_fail)
    return facts.breaks_the_start;
  return target_drawer{chance, facts}.has_target(kind);
}

/// Each kind is on or off.
std::vector<fault_kind> draw_kinds(random_stream& chance,
                                   const run_facts& facts) {
  std::vector<fault_kind> out;
  for (auto& form : fault_forms()) {
    auto moves = form.kind == fault_kind::move_experts
                 || form.kind == fault_kind::leave
                 || form.kind == fault_kind::stay;
    if (moves && !facts.moves_experts)
      continue;
    if (form.kind == fault_kind::join && facts.later.empty())
      continue; // what seeds mean stays the same
    auto is_on = chance.uniform(2) == 0;
    if (is_on && is_of_use(form.kind, chance, facts))
      out.push_back(form.kind);
  }
  return out;
}

/// What tells a fault from others, whatever their order.
uint64_t name_of(const fault& x) {
  return fnv_1a(std::string_view{render({x})});
}

} // namespace

std::vector<fault> random_faults(uint64_t seed, const run_facts& facts) {
  CHECK(!facts.nodes.empty() && facts.length.count() > 0);
  random_stream chance{random_stream::mix(seed ^ fnv_1a("random faults"))};
  auto kinds = draw_kinds(chance, facts);
  if (kinds.empty())
    return {};
  std::vector<fault> out(chance.uniform(max_random_faults + 1));
  for (auto& x : out) {
    x.kind = kinds[chance.uniform(kinds.size())];
    x.must_happen = false;
    auto target = form_of(x.kind).target;
    x.node = target != fault_target_kind::request ? any_name : "";
    x.peer = target == fault_target_kind::link ? any_name : "";
    target_drawer{chance, facts}.draw(x);
    draw_parameter(x, chance, facts);
    draw_class(x, chance);
    draw_time(x, chance, facts);
    auto comes_back = ends_a_process(x.kind) && chance.uniform(3) > 0;
    if (form_of(x.kind).lasts || comes_back)
      x.lasts = draw_length(x, chance, facts);
  }
  return out;
}

std::vector<fault> draw_targets(std::vector<fault> plan, uint64_t seed,
                                const run_facts& facts) {
  for (auto& x : plan) {
    random_stream chance{random_stream::mix(seed ^ name_of(x))};
    target_drawer{chance, facts}.draw(x);
  }
  return plan;
}

} // namespace troupe
