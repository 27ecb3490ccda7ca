#include "runtime/balance/expert_loads.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace troupe::balance {
namespace {

using counts = std::vector<uint64_t>;
using rows = std::vector<double>;

/// Two layers of two experts.
class ExpertLoads : public testing::Test {
protected:
  const rows& of_layer(size_t layer) const {
    return loads_.table().loads.at(layer);
  }

  expert_loads loads_{{3, 4}, 2, 10};
};

TEST_F(ExpertLoads, CountOnlyWhatHasComeSinceTheLastReport) {
  loads_.hear(1, 7, counts{5, 0, 1, 2});
  loads_.hear(1, 7, counts{6, 0, 1, 5});
  EXPECT_EQ(of_layer(0), (rows{6, 0}));
  EXPECT_EQ(of_layer(1), (rows{1, 5}));
  EXPECT_EQ(loads_.table().layers, (std::vector<uint32_t>{3, 4}));
}

TEST_F(ExpertLoads, AddUpWhatNodesSay) {
  loads_.hear(1, 7, counts{5, 0, 0, 0});
  loads_.hear(2, 7, counts{5, 1, 0, 0});
  EXPECT_EQ(of_layer(0), (rows{10, 1}));
}

/// It counts from nothing, whatever its predecessor had.
TEST_F(ExpertLoads, AnotherProcessBeginsAnew) {
  loads_.hear(1, 7, counts{5, 3, 0, 0});
  loads_.hear(1, 8, counts{2, 4, 0, 0});
  EXPECT_EQ(of_layer(0), (rows{7, 7}));
}

TEST_F(ExpertLoads, WhatIsSaidLateOrAgainCountsOnce) {
  loads_.hear(1, 7, counts{5, 3, 0, 0});
  loads_.hear(1, 7, counts{4, 3, 0, 0});
  loads_.hear(1, 7, counts{5, 3, 0, 0});
  EXPECT_EQ(of_layer(0), (rows{5, 3}));
}

TEST_F(ExpertLoads, WhoHasNoRanksSaysNothing) {
  loads_.hear(1, 7, counts{});
  loads_.hear(1, 7, counts{1, 2, 3});
  EXPECT_EQ(of_layer(0), (rows{0, 0}));
}

/// 20 rows a second, whatever has been forgotten by now.
TEST_F(ExpertLoads, ASteadyFlowHasItsRate) {
  for (uint64_t i = 1; i <= 1000; ++i) {
    loads_.hear(1, 7, counts{2 * i, 0, 0, 0});
    loads_.age(0.1);
    if (i == 5 || i == 50 || i == 1000) {
      EXPECT_NEAR(of_layer(0)[0] / loads_.seconds(), 20, 0.1) << i;
    }
  }
  EXPECT_NEAR(loads_.seconds(), 10 / std::log(2.0), 0.1);
}

} // namespace
} // namespace troupe::balance
