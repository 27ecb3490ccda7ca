#include "runtime/batching/step_times.hpp"

#include <gtest/gtest.h>

#include <random>

using namespace troupe;

namespace {

using namespace std::chrono_literals;

step_times::duration of(double seconds) {
  return std::chrono::duration_cast<step_times::duration>(
    std::chrono::duration<double>(seconds));
}

void add(step_times& x, double cost, double per_cost) {
  x.add(cost, of(per_cost * cost), of(per_cost * cost));
}

} // namespace

TEST(StepTimes, SayNothingBeforeTheyHaveSeenSteps) {
  step_times x;
  EXPECT_FALSE(x.cost_within(1s));
  x.add(0, 1s, 1s);
  x.add(3, 0s, 0s);
  EXPECT_FALSE(x.cost_within(1s));
}

TEST(StepTimes, FindTheFixedPartAndTheOneThatGrows) {
  for (uint32_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random{seed};
    step_times x;
    for (int i = 0; i < 200; ++i) {
      auto cost = 1.0 + random() % 500;
      auto noise = 1 + (double(random() % 100) - 50) / 1000;
      auto took = of((2e-3 + 1e-4 * cost) * noise);
      x.add(cost, took, took);
    }
    EXPECT_NEAR(*x.cost_within(22ms), 200, 10);
    EXPECT_EQ(*x.cost_within(0ms), 0);
  }
}

TEST(StepTimes, OfEqualStepsGoByTheirMean) {
  step_times x;
  for (int i = 0; i < 50; ++i)
    x.add(32, 4ms, 4ms);
  EXPECT_NEAR(*x.cost_within(8ms), 64, 1e-6);
}

TEST(StepTimes, ForgetAMachineThatWasFaster) {
  step_times x;
  for (int i = 0; i < 1000; ++i)
    add(x, 1 + i % 100, 1e-4);
  for (int i = 0; i < 1000; ++i)
    add(x, 1 + i % 100, 1e-3);
  EXPECT_NEAR(*x.cost_within(50ms), 50, 2);
}
