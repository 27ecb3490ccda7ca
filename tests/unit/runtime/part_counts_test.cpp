#include "runtime/cluster/part_counts.hpp"

#include <gtest/gtest.h>

#include <array>

using namespace troupe;

TEST(PartCounts, RowsAreCountedByLayerAndExpert) {
  expert_counts x{2, 3};
  x.add(0, std::array{0, 2, 2, 1});
  x.add(1, std::array{2});
  expert_counts y{2, 3};
  y.add(1, std::array{0, 2});
  std::vector<uint64_t> sum;
  x.add_to(sum);
  y.add_to(sum);
  EXPECT_EQ(sum, (std::vector<uint64_t>{1, 1, 2, 1, 0, 2}));
  expert_counts{}.add_to(sum); // of a model without experts
  EXPECT_EQ(sum.size(), 6u);
}
