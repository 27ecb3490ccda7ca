#include "runtime/sim/even_routes.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

using namespace troupe;

namespace {

TEST(EvenRoutes, GiveEachExpertAsManyRowsAndARowDistinctOnes) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    random_stream chance{seed};
    auto all = draw_experts(128, 8, 256, chance);
    ASSERT_EQ(all.size(), 128u * 8);
    std::vector<int> rows(256);
    for (size_t r = 0; r < 128; ++r) {
      std::set<int32_t> of(all.begin() + ptrdiff_t(8 * r),
                           all.begin() + ptrdiff_t(8 * r + 8));
      EXPECT_EQ(of.size(), 8u);
      for (auto expert : of)
        ++rows[size_t(expert)];
    }
    EXPECT_EQ(std::ranges::count(rows, 4), 256);
  }
}

/// Of four nodes with a quarter of the experts each, a row reaches
/// 4 (1 - C(192, 8) / C(256, 8)) = 3.606.
TEST(EvenRoutes, ReachAsManyNodesAsChanceHasIt) {
  random_stream chance{1};
  placement map{1, 256, 32, std::vector<node_id>(32)};
  std::vector<std::vector<int32_t>> all;
  all.push_back(draw_experts(20'000, 8, 256, chance));
  EXPECT_NEAR(reach_of_row(all, 8, map, 8), 3.606, 0.02);
  EXPECT_EQ(reach_of_row(all, 8, map, 32), 1);
}

} // namespace
