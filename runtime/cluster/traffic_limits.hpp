#pragma once

/// What the rows of a step may weigh. Worked out once, at start, from the
/// topology, the model and the placement: how rows are cut into frames, how
/// much of them a node may have made and not got rid of, how much may wait for
/// one peer. Arithmetic alone; no clock, no I/O.
///
/// The unit is one layer of all rows that a rank has in steps: a step waits for
/// all answers before it sends its next rows, so what is under way at once is
/// bounded by the number of ranks.

#include "runtime/dispatch/placement.hpp"
#include "runtime/error.hpp"
#include "runtime/topology.hpp"

#include <cstdint>

namespace troupe {

struct traffic_limits {
  // -- how rows are cut -------------------------------------------------------
  uint32_t dispatch_rows = 0; ///< Rows of a dispatch frame, at most.
  uint32_t combine_rows = 0;  ///< Rows of a combine frame, at most.

  // -- what one rank's layer weighs, in bytes ---------------------------------
  uint64_t dispatch_bytes = 0; ///< Of all that a rank sends to one node.
  uint64_t combine_bytes = 0;  ///< Of all that this node answers to one rank.

  // -- what this node may hold ------------------------------------------------
  uint32_t max_staging_rows = 0; ///< Rows of one grouped run of a worker.
  uint32_t max_run_pairs = 0;    ///< (row, expert) pairs of one.
  uint64_t worker_bytes = 0;     ///< What a run takes; beside it are weights.
  uint64_t slab_bytes = 0;       ///< Pool of the slabs of this node's ranks.
  uint64_t answer_bytes = 0;     ///< Pool of the answers of its workers.
  uint64_t received_bytes = 0;   ///< Frames that have come and are in use.
  /// What may wait for one peer. The pools never give so much, and no more
  /// requests than that are open: it is not reached in normal work.
  uint64_t max_unsent = 0;

  /// All memory that frames may take on this node.
  uint64_t memory() const {
    return slab_bytes + answer_bytes + received_bytes;
  }
};

/// `maps` are the placements of this model's experts on the workers of
/// `cluster`: [unit].
traffic_limits plan_traffic(const topology& cluster, const model_config& config,
                            const std::vector<placement>& maps, node_id node);

/// Slots that `worker` has in a layer, those that are empty included; 0 in a
/// model without experts.
uint32_t most_slots(const placement& map, worker_id worker);

} // namespace troupe
