#include "runtime/sim/fault.hpp"

#include "runtime/duration.hpp"

#include <array>

namespace troupe {

namespace {

using kind = fault_kind;
using target = fault_target_kind;
using parameter = fault_parameter;

// kind, name, target, parameter, lasts, by class
constexpr std::array<fault_form, num_fault_kinds> forms{{
  {kind::kill, "kill", target::node, parameter::none, false, false},
  {kind::pause, "pause", target::node, parameter::none, true, false},
  {kind::slow, "slow", target::node, parameter::factor, true, false},
  {kind::cut, "cut", target::link, parameter::none, true, true},
  {kind::cut_oneway, "cut_oneway", target::link, parameter::none, true, true},
  {kind::delay, "delay", target::link, parameter::extra, true, true},
  {kind::rate, "rate", target::link, parameter::bytes_per_second, true, true},
  {kind::reset, "reset", target::link, parameter::none, false, false},
  {kind::clog, "clog", target::link, parameter::none, true, true},
  {kind::duplicate, "duplicate", target::link, parameter::share, true, true},
  {kind::corrupt, "corrupt", target::link, parameter::share, true, true},
  {kind::replay, "replay", target::link, parameter::share, true, true},
  {kind::alloc_fail, "alloc_fail", target::node, parameter::nth, false, false},
  {kind::device_fail, "device_fail", target::node, parameter::nth, false,
   false},
  {kind::client_vanish, "client_vanish", target::request, parameter::none,
   false, false},
  {kind::client_slow, "client_slow", target::request, parameter::pace, true,
   false},
  {kind::move_experts, "move_experts", target::node, parameter::none, false,
   false},
  {kind::leave, "leave", target::node, parameter::none, false, false},
  {kind::join, "join", target::node, parameter::none, false, false},
  {kind::stay, "stay", target::node, parameter::none, false, false},
}};

constexpr bool in_order() {
  for (size_t i = 0; i < forms.size(); ++i)
    if (size_t(forms[i].kind) != i)
      return false;
  return true;
}

static_assert(in_order(), "a kind is the index of its form");

constexpr std::array<std::string_view, 5> filters = {"all", "rows", "control",
                                                     "bulk", "heartbeat"};

} // namespace

const fault_form& form_of(fault_kind kind) {
  return forms.at(size_t(kind));
}

std::span<const fault_form> fault_forms() {
  return forms;
}

std::string_view to_string(frame_filter x) {
  return filters.at(size_t(x));
}

std::optional<frame_filter> parse_frame_filter(std::string_view name) {
  for (size_t i = 0; i < filters.size(); ++i)
    if (filters[i] == name)
      return frame_filter(i);
  return std::nullopt;
}

std::string describe(const fault& x) {
  auto& form = form_of(x.kind);
  std::string out{form.name};
  switch (form.target) {
    case fault_target_kind::node:
      out += " " + x.node;
      break;
    case fault_target_kind::link:
      out += " " + x.node + " " + x.peer;
      break;
    case fault_target_kind::request:
      out += " request "
             + (x.request ? std::to_string(*x.request) : std::string{any_name});
  }
  if (x.frames != frame_filter::all)
    out.append(", ").append(to_string(x.frames)).append(" only");
  if (x.lasts.count() > 0)
    out += " for " + render_duration(x.lasts);
  return out;
}

bool breaks_a_node(const fault& x) {
  // An operation that begins under such a factor outlives the fault by far.
  constexpr double endless = 1000;
  return x.kind == fault_kind::kill
         || (x.kind == fault_kind::slow && x.factor >= endless);
}

bool may_end(fault_kind kind) {
  return kind == fault_kind::kill || kind == fault_kind::leave
         || form_of(kind).lasts;
}

virtual_duration silence_of(const fault& x) {
  switch (x.kind) {
    case fault_kind::pause:
    case fault_kind::slow:
    case fault_kind::cut:
    case fault_kind::cut_oneway:
    case fault_kind::rate:
    case fault_kind::clog:
      return x.lasts;
    case fault_kind::delay:
      return 2 * x.extra; // there and back
    default:
      return {};
  }
}

} // namespace troupe
