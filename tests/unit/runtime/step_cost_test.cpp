#include "runtime/batching/step_cost.hpp"

#include "tests/unit/runtime/v3_shapes.hpp"

#include <gtest/gtest.h>

using namespace troupe;

TEST(StepCost, CountsEachQueryWithTheKeysUpToItsOwn) {
  step_cost x{10, 1};
  EXPECT_EQ(x.of(0, 1), 10 + 1);
  EXPECT_EQ(x.of(0, 3), 30 + 1 + 2 + 3);
  EXPECT_EQ(x.of(7, 2), 20 + 8 + 9);
}

TEST(StepCost, OfOneRowAloneIsThatOfWhoDecodes) {
  step_cost x{10, 1, 3};
  EXPECT_EQ(x.of(7, 1), 10 + 3 * 8);
  EXPECT_EQ(x.of(7, 2), 20 + 8 + 9);
  step_cost alike{10, 2};
  EXPECT_EQ(alike.per_decoded_pair, 2);
}

TEST(StepCost, FindsTheMostRowsForACost) {
  step_cost x{10, 1};
  for (uint32_t first : {0u, 5u, 4000u})
    for (double budget = 0; budget < 9000; budget += 7) {
      auto n = x.rows_within(first, 50, budget);
      EXPECT_LE(x.of(first, n), budget);
      if (n < 50) {
        EXPECT_GT(x.of(first, n + 1), budget);
      }
    }
}

/// DeepSeek-V3 has 36.7 G active parameters, of which the embedding and the
/// head are not ours; a query meets a key in 61 layers and 128 heads.
TEST(StepCost, FollowsFromTheShapesOfAModel) {
  auto x = step_cost::of_shapes(v3_shapes());
  EXPECT_EQ(x.per_row, 1);
  EXPECT_NEAR(61 * 128 * 320 / x.per_pair, 35.6e9, 0.3e9);
}
