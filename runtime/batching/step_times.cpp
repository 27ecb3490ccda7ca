#include "runtime/batching/step_times.hpp"

#include <algorithm>
#include <chrono>

namespace troupe {

namespace {

/// Steps before the first answer.
constexpr double enough_steps = 4;

double seconds(step_times::duration x) {
  return std::chrono::duration<double>(x).count();
}

} // namespace

void step_times::add(double cost, duration took, duration own) {
  if (cost <= 0)
    return;
  both_.add({1, cost}, seconds(took));
  slope_.add({0, cost}, seconds(took));
  own_.add({1, cost}, seconds(own));
}

std::optional<double> step_times::cost_within(duration limit) const {
  if (slope_.weight() < enough_steps)
    return std::nullopt;
  auto [fixed, slope, a, b] = both_.per_part();
  // Noise: all of the time is of the cost.
  if (slope <= 0) {
    slope = slope_.per_part()[1];
    fixed = 0;
  }
  return std::max((seconds(limit) - fixed) / slope, 0.0);
}

double step_times::seconds_for(double cost) const {
  return own_.weight() < enough_steps ? 0 : own_.predict({1, cost});
}

} // namespace troupe
