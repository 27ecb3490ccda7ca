#include "runtime/batching/prefill_backlog.hpp"

#include <gtest/gtest.h>

#include <limits>

using namespace troupe;

constexpr auto no_limit = std::numeric_limits<double>::infinity();

TEST(PrefillBacklog, FillsStepsAndEndsRuns) {
  EXPECT_EQ((prefill_backlog{1000, 2, 1000}.num_steps(500, no_limit)), 5u);
  EXPECT_EQ((prefill_backlog{1, 1, 1}.num_steps(500, no_limit)), 2u);
}

TEST(PrefillBacklog, TakesMoreStepsOfLess) {
  EXPECT_EQ((prefill_backlog{1000, 1, 2000}.num_steps(500, 100)), 22u);
  EXPECT_EQ((prefill_backlog{1000, 1, 2000}.num_steps(10, 100)), 102u);
}

TEST(PrefillBacklog, ComputesARowInEachStepWhateverItCosts) {
  for (auto budget : {1.5, 0.0, -7.0})
    EXPECT_EQ((prefill_backlog{1000, 1, 2000}.num_steps(500, budget)), 1002u);
}
