#pragma once

/// How long steps take, learnt from those that have ended: a fixed part and one
/// that grows with their cost, by least squares in which what is old counts
/// less and less. A plain class, told of the time.

#include "runtime/clock.hpp"

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

private:
  /// Weighted sums over the steps, of 1, x, y, x x and x y.
  double n_ = 0;
  double x_ = 0;
  double y_ = 0;
  double xx_ = 0;
  double xy_ = 0;
};

} // namespace troupe
