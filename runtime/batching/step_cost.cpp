#include "runtime/batching/step_cost.hpp"

namespace troupe {

uint32_t step_cost::rows_within(uint32_t first, uint32_t most,
                                double budget) const {
  uint32_t low = 0;
  auto high = most;
  while (low < high) {
    auto middle = low + (high - low + 1) / 2;
    if (of(first, middle) <= budget)
      low = middle;
    else
      high = middle - 1;
  }
  return low;
}

} // namespace troupe
