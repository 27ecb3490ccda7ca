#pragma once

/// Prompts that are still to be computed, and how long that goes on.

#include <cstdint>

namespace troupe {

struct prefill_backlog {
  uint64_t rows = 0;
  uint64_t runs = 0; ///< Of one attention form: no step has rows of two.
  double cost = 0;   ///< By step_cost.

  /// Steps until all is computed, at most: full ones, but for those that end a
  /// run. Of each `rows_of_step` (at least 1) rows are for prompts, or as many
  /// as cost `cost_of_step`, but one at least.
  uint64_t num_steps(uint64_t rows_of_step, double cost_of_step) const;
};

} // namespace troupe
