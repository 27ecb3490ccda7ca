#pragma once

/// One run of a company in a virtual world, from its start to rest, in two
/// phases: at first anything may break; then faults stop, everything that was
/// accepted must end, and a company made whole again must answer.

#include "actors/virtual_faults.hpp"
#include "runtime/sim/random_faults.hpp"
#include "runtime/sim/shrinker.hpp"

namespace troupe {

struct simulation_options {
  virtual_company_options company;
  sim_case what; ///< Faults' targets are drawn.
  /// Faults may begin before the company serves; their times count from the
  /// world's begin.
  bool break_the_start = false;
  /// How long the first phase may take, and how long the second.
  virtual_duration trouble = std::chrono::minutes{10};
  virtual_duration calm = std::chrono::minutes{20};
  /// What may happen at one instant, before time counts as standing still.
  uint64_t most_at_once = 10'000'000;
  /// Hears each entry of the trace; may be empty.
  trace::observer on_entry;
};

struct simulation_result {
  uint64_t seed = 0;
  uint64_t trace_hash = 0;
  std::vector<violation> violations;
  uint64_t num_violations = 0;
  std::vector<fault_report> faults;
  virtual_clients::figures requests;
  sometimes_states reached{0};
  uint64_t num_handed_over = 0;   ///< Requests, in one life of the first node.
  uint64_t num_balanced = 0;      ///< Likewise, see placement_watch.
  uint64_t num_handed_blocks = 0; ///< Likewise of one node with ranks.
  uint64_t num_host_hits = 0;     ///< Likewise, see counter::host_hits.
  virtual_duration started{0};    ///< Until the company served.
  virtual_duration busy{0};   ///< From then on, to nine tenths of all tokens.
  virtual_duration length{0}; ///< Of the first phase.
  std::array<uint64_t, num_trace_kinds> events = {};
  std::array<uint64_t, num_trace_kinds> events_before = {}; ///< It served.
  /// Before the second phase.
  std::array<uint64_t, num_trace_kinds> events_in_trouble = {};
  std::vector<trace_entry> last; ///< What happened last.

  /// Whether everything held and every fault that had to happen did.
  bool holds() const;
};

/// Whether every fault and every request comes before the phase that it is for
/// is over. Error: invalid_input, with the one that does not, and the limit.
result<void> check_times(const simulation_options& options);

/// Runs to its end. The same arguments give the same result.
simulation_result simulate(uint64_t seed, const simulation_options& options);

} // namespace troupe
