#pragma once

/// What the rows of a step cost, in units of their own: for comparing steps. By
/// the shapes of the model, until the machine has shown it (live_costs).

#include <cstdint>
#include <string>

namespace troupe {

struct model_config;

struct step_cost {
  double per_row = 1;
  double per_pair = 0;                ///< A query and a key that it attends to.
  double per_decoded_pair = per_pair; ///< Likewise, of one row alone.

  /// By the products that the shapes of a model ask for; a row is the unit.
  static step_cost of_shapes(const model_config& config);

  /// Of rows at positions [first, first + count) of a sequence.
  double of(uint32_t first, uint32_t count) const {
    auto pairs = double(count) * (first + (count + 1) / 2.0);
    return per_row * count + (count == 1 ? per_decoded_pair : per_pair) * pairs;
  }

  /// How many rows from `first` on cost no more than `budget`, at most `most`.
  uint32_t rows_within(uint32_t first, uint32_t most, double budget) const;
};

/// As a line of a log.
std::string to_string(const step_cost& x);

} // namespace troupe
