#pragma once

/// Faults that a seed does without a file, and whom it means by "any". The same
/// on every machine.

#include "runtime/sim/fault.hpp"

#include <array>
#include <string>
#include <utility>
#include <vector>

namespace troupe {

/// What is known of a run before it begins.
struct run_facts {
  std::vector<std::string> nodes; ///< By node_id, at least one.
  /// Where requests come in; its process is never killed by a seed alone.
  node_id gateway = 0;
  /// That may come later: whom a seed lets join.
  std::vector<node_id> later;
  /// Pairs that talk, in both directions; none: any pair may.
  std::vector<std::pair<node_id, node_id>> links;
  uint32_t num_requests = 0;
  virtual_duration length{0}; ///< Of a run without faults, above 0.
  /// For how long a silent peer is waited for: faults are shorter and longer.
  virtual_duration patience{0};
  /// For how long rows that are away are; 0: for longer than a run takes.
  virtual_duration step_patience{0};
  /// Of a run without faults from when it serves until all has been answered,
  /// by kind; and before that.
  std::array<uint64_t, num_trace_kinds> events = {};
  std::array<uint64_t, num_trace_kinds> events_before = {};
  /// Whether workers have slots to spare: only then experts move, and nodes
  /// leave.
  bool moves_experts = false;
  /// Whether faults may begin before it serves. Memory is claimed there alone.
  bool breaks_the_start = false;
};

constexpr uint32_t max_random_faults = 4;

/// Swarm testing: the seed picks which kinds there are, then none to
/// max_random_faults of them, each at a time of the run or at an event. They
/// name their targets, and none must happen. [Groce et al., "Swarm testing",
/// ISSTA'12]
std::vector<fault> random_faults(uint64_t seed, const run_facts& facts);

/// Puts names in the place of "any". What is drawn for a fault depends on the
/// seed and on the fault, not on the others, so that some can be left out.
std::vector<fault> draw_targets(std::vector<fault> plan, uint64_t seed,
                                const run_facts& facts);

} // namespace troupe
