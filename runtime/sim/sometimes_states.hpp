#pragma once

/// States that some seed must reach: where none does, the faults are too weak
/// or the state cannot be reached at all, and what it should test is not
/// tested.

#include "runtime/sim/trace.hpp"

#include <bitset>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace troupe {

enum class sometimes : uint8_t {
  // -- said by whoever knows
  stale_frame_refused,      ///< Of an older incarnation or epoch.
  damaged_frame_refused,    ///< Its checksum was wrong.
  duplicate_rows_refused,   ///< The same answer for the second time.
  cancelled_with_rows_away, ///< Workers had rows of a cancelled request.
  block_freed_late,         ///< A request had ended, a writer was in flight.
  request_failed,           ///< With an error, for the loss of a node.
  request_moved,            ///< To another rank, since its own was lost.
  step_again,      ///< Abandoned, since workers that had its rows were lost.
  node_came_back,  ///< Another process serves in the place of a lost one.
  node_came_later, ///< One serves for the first time, behind the start.
  request_waited,  ///< For a node that it could not do without, and went on.
  request_refused_overloaded,
  client_vanished,
  preempted,        ///< Blocks lost to an older request.
  prompt_in_chunks, ///< More than a step has room for.
  stream_failed,
  allocation_failed,
  retransmitted, ///< What a cut held back came after it.
  change_done,   ///< Of the placement of experts.
  change_aborted,
  rows_of_two_epochs, ///< A worker got some of an older one than its newest.
  expert_waited,      ///< Nobody had it, and then somebody.
  experts_balanced,   ///< A change for that became the placement.
  // -- found in the trace
  wrong_suspicion,           ///< Somebody gave up a node that was alive.
  pause_survived,            ///< Nobody gave up a node that stood still.
  killed_with_requests_open, ///< A node ended meanwhile.
  two_faults_at_once,        ///< One began before another was healed.
  peer_came_back,            ///< Joined again after it was lost.
  faults_while_idle,         ///< One began when no request was open.
  num_states
};

constexpr size_t num_sometimes = size_t(sometimes::num_states);

std::string_view to_string(sometimes x);

/// What one run has reached.
class sometimes_states {
public:
  explicit sometimes_states(uint32_t num_nodes);

  void reach(sometimes x) {
    reached_.set(size_t(x));
  }

  bool has(sometimes x) const {
    return reached_.test(size_t(x));
  }

  /// Finds those that the trace shows. O(1), O(nodes) for losses.
  void hear(const trace_entry& x);

  /// Somebody goes who has heard `num_heard` tokens and not the end.
  void cancelled(uint32_t num_heard);

  /// Whether a rank of `node` waits for rows from another node.
  bool has_rows_away(node_id node) const;

  /// Accepted and not ended.
  uint64_t num_open() const {
    return num_open_;
  }

private:
  struct node_state {
    bool is_alive = false;
    bool is_paused = false;
    bool was_lost = false;      ///< By anybody, since it began.
    bool was_suspected = false; ///< While it stood still.
  };

  /// What a rank has dispatched last.
  struct dispatched {
    uint32_t serial = 0;
    node_id node = no_node;       ///< The rank's.
    std::set<node_id> asked = {}; ///< Who has not answered.
  };

  void hear_of_node(const trace_entry& x);
  void hear_of_frame(const trace_entry& x);
  bool all_have_rows_away() const;

  std::bitset<num_sometimes> reached_;
  std::vector<node_state> nodes_;
  std::map<uint32_t, dispatched> ranks_;
  uint64_t num_open_ = 0;   ///< Requests.
  uint64_t num_faults_ = 0; ///< That last, begun and not healed.
};

/// Of many runs.
class sometimes_tally {
public:
  void add(const sometimes_states& x);

  /// Runs that have reached it.
  uint64_t count(sometimes x) const {
    return counts_[size_t(x)];
  }

  /// Names of those that no run has reached.
  std::vector<std::string> unreached() const;

private:
  uint64_t counts_[num_sometimes] = {};
};

} // namespace troupe
