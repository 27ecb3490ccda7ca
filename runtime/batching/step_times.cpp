#include "runtime/batching/step_times.hpp"

#include <algorithm>
#include <chrono>

namespace troupe {

namespace {

/// Half of what a step says is forgotten some 70 steps later.
constexpr double kept = 0.99;

/// Steps before the first answer.
constexpr double enough = 4;

double seconds(step_times::duration x) {
  return std::chrono::duration<double>(x).count();
}

} // namespace

void step_times::add(double cost, duration took) {
  auto time = seconds(took);
  if (cost <= 0 || time <= 0)
    return;
  n_ = kept * n_ + 1;
  x_ = kept * x_ + cost;
  y_ = kept * y_ + time;
  xx_ = kept * xx_ + cost * cost;
  xy_ = kept * xy_ + cost * time;
}

std::optional<double> step_times::cost_within(duration limit) const {
  if (n_ < enough)
    return std::nullopt;
  auto spread = n_ * xx_ - x_ * x_;
  auto slope = spread > 0 ? (n_ * xy_ - x_ * y_) / spread : 0;
  auto fixed = (y_ - slope * x_) / n_;
  // Steps that all cost the same, or noise: all of the time is of the cost.
  if (spread < 1e-6 * n_ * xx_ || slope <= 0 || fixed < 0) {
    slope = y_ / x_;
    fixed = 0;
  }
  return std::max((seconds(limit) - fixed) / slope, 0.0);
}

} // namespace troupe
