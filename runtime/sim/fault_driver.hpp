#pragma once

/// When faults begin, heal and are known to have happened. Hears what happens
/// and what time it is; whoever can carry a fault out is told.

#include "runtime/error.hpp"
#include "runtime/sim/fault.hpp"
#include "runtime/sim/random_stream.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace troupe {

using fault_handle = uint64_t;

/// A world that faults can befall.
class fault_target {
public:
  virtual ~fault_target() = default;

  /// Begins `x`, whose targets are names, or says why it cannot, e.g. because
  /// the node has ended already.
  virtual result<fault_handle> begin(const fault& x) = 0;
  /// Ends a fault that lasts. Once for each.
  virtual void heal(fault_handle x) = 0;
  /// How it is known that the fault has happened; nothing while it is not.
  /// May be asked at any time after `begin`, also once it is healed.
  virtual std::optional<std::string> evidence(fault_handle x) = 0;
};

enum class fault_outcome : uint8_t {
  happened,   ///< Once at least, with evidence.
  never_due,  ///< Its time or event did not come.
  not_drawn,  ///< Its time came, its chance did not.
  impossible, ///< The target could not begin it.
  no_effect,  ///< It began, and nothing shows that it did anything.
};

std::string_view to_string(fault_outcome x);

/// What came of one fault.
struct fault_report {
  std::string what;
  fault_outcome outcome = fault_outcome::never_due;
  uint32_t times = 0; ///< That it began.
  std::optional<virtual_instant> first_begin;
  std::optional<virtual_instant> last_end; ///< Of those that last.
  std::string evidence;                    ///< Of the last one that has any.
  std::string why; ///< One sentence; empty if it happened.
  bool must_happen = true;

  /// Whether the run fails for it.
  bool fails() const {
    return must_happen && outcome != fault_outcome::happened
           && outcome != fault_outcome::not_drawn;
  }
};

class fault_driver {
public:
  /// Times of `plan` count from `begin`; `nodes` are names by node_id. `target`
  /// must outlive the driver. What is left to chance is drawn from `seed` and
  /// the fault itself.
  fault_driver(std::vector<fault> plan, std::vector<std::string> nodes,
               virtual_instant begin, uint64_t seed, fault_target& target);

  /// Something has happened. Begins nothing: that would befall whoever is in
  /// the midst of it; see `is_due`. O(1) unless a fault waits for this kind.
  void hear(const trace_entry& x);

  /// Whether `act` has something to do, O(1).
  bool is_due(virtual_instant now) const {
    return is_called_ || now >= next_;
  }

  /// When it is due without another event; the maximum if never.
  virtual_instant next() const {
    return next_;
  }

  /// Begins and heals what is due. Between two events of the world.
  void act(virtual_instant now);

  /// Whether nothing is under way and nothing can come by time alone: what is
  /// left waits for events.
  bool is_idle() const;

  /// The second phase: heals what is under way, begins nothing any more.
  void stop(virtual_instant now);

  /// After the run; asks for the evidence that was not there yet.
  std::vector<fault_report> reports();

private:
  struct occurrence {
    fault_handle handle = 0;
    virtual_instant begun = {};
    virtual_instant ends = virtual_instant::max();
    std::optional<virtual_instant> healed = {};
    std::string evidence = {};
  };

  struct entry {
    fault what;
    node_id event_node = no_node; ///< no_node: of any.
    random_stream chance;
    uint64_t heard = 0;     ///< Events of its kind.
    uint32_t calls = 0;     ///< Times that its time has come.
    bool is_called = false; ///< By an event, to begin at `act`.
    bool is_drawn = false;  ///< Its chance has come, once at least.
    virtual_instant next = virtual_instant::max();
    std::vector<occurrence> begun = {};
    std::string refusal = {}; ///< Of the target.
  };

  void call(entry& x, virtual_instant now);
  void begin(entry& x, virtual_instant now);
  void heal(occurrence& x, virtual_instant now);
  void look_for_evidence(occurrence& x);
  void reckon();
  fault_report report_of(const entry& x) const;

  std::vector<entry> entries_;
  std::array<std::vector<uint32_t>, num_trace_kinds> waiting_; ///< By event.
  fault_target& target_;
  virtual_instant next_ = virtual_instant::max();
  bool is_called_ = false;
  bool is_over_ = false;
};

} // namespace troupe
