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

} // namespace

TEST(StepTimes, SayNothingBeforeTheyHaveSeenSteps) {
  step_times x;
  EXPECT_FALSE(x.cost_within(1s));
  x.add(0, 1s);
  x.add(3, 0s);
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
      x.add(cost, of((2e-3 + 1e-4 * cost) * noise));
    }
    EXPECT_NEAR(*x.cost_within(22ms), 200, 10);
    EXPECT_EQ(*x.cost_within(0ms), 0);
  }
}

TEST(StepTimes, OfEqualStepsGoByTheirMean) {
  step_times x;
  for (int i = 0; i < 50; ++i)
    x.add(32, 4ms);
  EXPECT_NEAR(*x.cost_within(8ms), 64, 1e-6);
}

TEST(StepTimes, ForgetAMachineThatWasFaster) {
  step_times x;
  for (int i = 0; i < 1000; ++i)
    x.add(1 + i % 100, of(1e-4 * (1 + i % 100)));
  for (int i = 0; i < 1000; ++i)
    x.add(1 + i % 100, of(1e-3 * (1 + i % 100)));
  EXPECT_NEAR(*x.cost_within(50ms), 50, 2);
}
