#pragma once

/// Disasters as data: what befalls whom, when, and for how long. One
/// vocabulary for files, for seeds and for those who carry a fault out.

#include "runtime/sim/frame_filter.hpp"
#include "runtime/sim/trace.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace troupe {

enum class fault_kind : uint8_t {
  kill,          ///< A process ends at once; another may begin in its place.
  pause,         ///< A process stands still, then goes on.
  slow,          ///< What a node computes takes `factor` times as long.
  cut,           ///< Nothing passes a link, either way.
  cut_oneway,    ///< Nothing passes from `node` to `peer`.
  delay,         ///< What passes a link takes `extra` longer.
  rate,          ///< A link carries `bytes_per_second`.
  reset,         ///< A connection breaks.
  clog,          ///< A link takes in and gives nothing out, then all of it.
  duplicate,     ///< Frames arrive twice, each with chance `p`.
  corrupt,       ///< Frames arrive with a bit flipped, each with chance `p`.
  replay,        ///< Old frames arrive again, one per frame with chance `p`.
  alloc_fail,    ///< The `nth` allocation of a node's device from then on.
  device_fail,   ///< The `nth` operation of a node's device from then on.
  client_vanish, ///< Whoever asked goes away without a word.
  client_slow,   ///< Whoever asked takes `pace` for each event.
  move_experts,  ///< Experts come to a node's workers: no fault, a change.
  leave,         ///< A node is to leave in peace: no fault, a wish.
  join,          ///< A node begins that is not there: no fault, a wish.
  stay,          ///< A node that is to leave is to stay: no fault, a wish.
  num_kinds
};

constexpr size_t num_fault_kinds = size_t(fault_kind::num_kinds);

enum class fault_target_kind : uint8_t { node, link, request };

/// The one parameter that a kind has, by its name in a file.
enum class fault_parameter : uint8_t {
  none,
  factor,           ///< "factor"
  extra,            ///< "extra"
  bytes_per_second, ///< "bytes_per_second"
  nth,              ///< "nth"
  pace,             ///< "pace"
  share,            ///< "p", which of other kinds is that of the trigger.
};

/// What a kind of fault has, and so what a file has to say of it.
struct fault_form {
  fault_kind kind;
  std::string_view name;
  fault_target_kind target;
  fault_parameter parameter;
  bool lasts;    ///< It has an end of its own, "for".
  bool by_class; ///< It may be of one class of frames alone.
};

const fault_form& form_of(fault_kind kind);

/// In the order of the kinds.
std::span<const fault_form> fault_forms();

std::string_view to_string(frame_filter x);
std::optional<frame_filter> parse_frame_filter(std::string_view name);

enum class fault_trigger : uint8_t {
  at,    ///< At a time of the run.
  on,    ///< At an event.
  every, ///< Again and again.
};

/// What stands for a node or a request that the seed draws.
constexpr std::string_view any_name = "any";

struct fault {
  fault_kind kind = fault_kind::kill;
  std::string node; ///< Or the first of a link; "any" until it is drawn.
  std::string peer; ///< Of a link.
  std::optional<uint32_t> request; ///< Of the requests' list; none: any.
  frame_filter frames = frame_filter::all;

  double factor = 1;             ///< Above 1.
  virtual_duration extra{0};     ///< Above 0.
  uint64_t bytes_per_second = 0; ///< Above 0.
  uint64_t nth = 1;              ///< From 1 on.
  virtual_duration pace{0};      ///< Above 0.

  fault_trigger trigger = fault_trigger::at;
  virtual_duration at{0}; ///< Since the begin of the run.
  trace_kind event = trace_kind::frame_sent;
  uint64_t nth_event = 1; ///< From 1 on.
  std::string event_node; ///< Events of this node alone; empty: of any.
  virtual_duration every{0};
  uint32_t times = 1; ///< Of `every`.

  /// Of duplicate, corrupt and replay: for each frame. Of others: that it
  /// begins when its time comes; after an event that it does not begin at, it
  /// may at the next. (0, 1]
  double p = 1;
  /// Above 0 if the form says that it lasts; of kill and leave: until another
  /// process of that node begins, 0: none does.
  virtual_duration lasts{0};

  /// Whether the run fails if it has not happened.
  bool must_happen = true;

  friend bool operator==(const fault&, const fault&) = default;
};

/// What it does to whom, without when: "cut a b for 3s".
std::string describe(const fault& x);

/// Whether peers may lose a node to it as it begins, however long they are
/// patient. What depends on whom it hits is said by who sees it hit.
bool breaks_a_node(const fault& x);

/// Whether "for" may be said of it.
bool may_end(fault_kind kind);

/// For how long it can silence a node that is alive, at most; of `slow` if it
/// does not break one.
virtual_duration silence_of(const fault& x);

} // namespace troupe
