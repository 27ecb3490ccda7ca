#pragma once

/// What was on its way between nodes when: sent rows with their arrivals.

#include "runtime/tracing/spans.hpp"

namespace troupe {

struct flight {
  clock::instant sent = {};
  clock::instant arrived = {};
  node_id from = 0;
  node_id to = 0;
  span of; ///< As it was sent: dispatch_sent or combine_sent.
};

struct all_flights {
  std::vector<flight> flights; ///< By the time at which they were sent.
  /// Sends whose arrivals, and arrivals whose sends nobody recorded.
  uint64_t num_unmatched = 0;
};

/// Frames of one dispatch between two nodes arrive in order, so the n-th that
/// has arrived is the n-th that was sent. What a node sends itself takes no
/// time and is left out.
all_flights match_flights(const std::vector<node_spans>& all);

} // namespace troupe
