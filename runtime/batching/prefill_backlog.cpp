#include "runtime/batching/prefill_backlog.hpp"

#include <algorithm>
#include <cmath>

namespace troupe {

uint64_t prefill_backlog::num_steps(uint64_t rows_of_step,
                                    double cost_of_step) const {
  auto full = rows / rows_of_step;
  if (cost_of_step * static_cast<double>(rows) <= cost) // less than a row each
    full = rows;
  else if (auto n = std::ceil(cost / cost_of_step); n > double(full))
    full = std::min(rows, static_cast<uint64_t>(n));
  return full + 1 + runs;
}

} // namespace troupe
