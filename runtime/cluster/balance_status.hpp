#pragma once

/// What the balancer of experts has done and promised, for people.

#include "runtime/dispatch/placement.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace troupe {

/// An expert has come to a worker.
struct expert_move {
  unit_id unit = 0;
  uint32_t epoch = 0; ///< Of the placement that it came with.
  uint32_t layer = 0; ///< Of the model.
  uint32_t expert = 0;
  std::optional<worker_id> from; ///< Who has it no more; none: a new replica.
  worker_id to = 0;
  std::string reason; ///< A sentence.
  double gain = 0;    ///< Rows less for the fullest worker, of the mean load.
};

/// Balance is mean over largest load of the workers, mean of the layers, by the
/// rows that have come of late.
struct balance_status {
  uint64_t plans = 0;           ///< Made since the start, as what follows.
  uint64_t changes = 0;         ///< Of the placement, done.
  uint64_t changes_refused = 0; ///< Or given up.
  uint64_t moves = 0;           ///< Copies, with changes that were done.
  double balance = 1;           ///< As the last plan found it.
  double planned = 1;           ///< As the last plan promised.
  double gain = 0; ///< Likewise: share of the fullest workers' rows that goes.
  std::vector<expert_move> recent; ///< Moves, the newest last.
};

/// Of several units: sums, means, and all moves.
balance_status merged(const std::vector<balance_status>& units);

} // namespace troupe
