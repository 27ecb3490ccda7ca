#pragma once

/// How long steps take, learnt from those that have ended: a fixed part and one
/// that grows with their cost; from begin to end, and without what others have
/// taken that were out meanwhile (runtime/pipeline/shared_time.hpp). What is
/// old counts less and less. A plain class, told of the time.

#include "runtime/clock.hpp"
#include "runtime/cost/running_fit.hpp"

#include <optional>

namespace troupe {

class step_times {
public:
  using duration = clock::instant::duration;

  /// A step of that cost has ended after so long, of which `own` was its own.
  /// All above 0, or it is passed over.
  void add(double cost, duration took, duration own);

  /// What a step may cost that is to end within `limit`; at least 0.
  /// Nothing if steps have not shown yet what they take.
  std::optional<double> cost_within(duration limit) const;

  /// What work of that cost takes, in seconds, in however many steps that are
  /// out at once; 0 if steps have not shown yet what they take.
  double seconds_for(double cost) const;

private:
  running_fit both_;  ///< Once, and per cost.
  running_fit slope_; ///< Per cost, where that is not told apart.
  running_fit own_;   ///< Once, and per cost.
};

} // namespace troupe
