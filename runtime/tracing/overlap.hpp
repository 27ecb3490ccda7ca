#pragma once

/// What a trace says of the time that ranks and workers have taken: how much
/// of the communication was hidden behind arithmetic.

#include "runtime/tracing/spans.hpp"

namespace troupe {

/// Of the time in which a rank had steps out.
struct rank_overlap {
  using duration = clock::instant::duration;

  uint16_t rank = 0;
  node_id node = 0;
  uint64_t num_steps = 0;
  duration out{0};     ///< At least one step was.
  duration busy{0};    ///< Of it: its streams computed or copied.
  duration waiting{0}; ///< The rest.
  /// Of it: a worker of the node ran, beside the rank or while it waited.
  duration experts{0};
  /// Of it: rows of the rank were on their way to another node, or back.
  duration communication{0};
  duration hidden{0};  ///< Of that: the rank was busy, or a worker ran.
  duration exposed{0}; ///< The rest.
};

/// Of the time from a worker's first run to the end of its last.
struct worker_overlap {
  using duration = clock::instant::duration;

  uint32_t worker = 0;
  node_id node = 0;
  uint64_t num_runs = 0;
  uint64_t num_pairs = 0; ///< Of rows and experts, in all runs.
  duration length{0};
  duration busy{0};
};

struct overlap_report {
  std::vector<rank_overlap> ranks;     ///< By number.
  std::vector<worker_overlap> workers; ///< By number.
  uint64_t num_missing = 0;            ///< Spans for which there was no room.
  uint64_t num_unmatched = 0; ///< Frames of which one end is not recorded.
};

/// Leaves out what is older than the oldest span of a track that had no room
/// for all: from then on every track is whole.
std::vector<node_spans> whole_part(std::vector<node_spans> all);

overlap_report measure_overlap(const std::vector<node_spans>& all);

/// As a table.
std::string to_string(const overlap_report& x);

} // namespace troupe
