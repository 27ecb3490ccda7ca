#pragma once

/// How long steps take, learnt from those that have ended: a fixed part and one
/// that grows with their cost. What is old counts less and less. A plain class,
/// told of the time.

#include "runtime/clock.hpp"
#include "runtime/cost/running_fit.hpp"

#include <optional>

namespace troupe {

class step_times {
public:
  using duration = clock::instant::duration;

  /// A step of that cost has taken so long. Both above 0, or it is passed over.
  void add(double cost, duration took);

  /// What a step may cost that is to take no longer than `limit`; at least 0.
  /// Nothing if steps have not shown yet what they take.
  std::optional<double> cost_within(duration limit) const;

  /// What a step of that cost takes, in seconds; 0 if steps have not shown yet
  /// what they take.
  double seconds_for(double cost) const;

private:
  running_fit both_;  ///< Once, and per cost.
  running_fit slope_; ///< Per cost, where that is not told apart.
};

} // namespace troupe
