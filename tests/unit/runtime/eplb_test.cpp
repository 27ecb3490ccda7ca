#include "runtime/balance/eplb.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace troupe::balance {
namespace {

// The example of the published description.
const layout_shape published{12, 16, 8, 2, 4};
const std::vector<double> first_loads{90, 132, 40, 61, 104, 165,
                                      39, 4,   73, 56, 183, 86};
const std::vector<double> second_loads{20,  107, 104, 64, 19, 197,
                                       187, 157, 172, 86, 16, 27};

TEST(Eplb, GivesThePublishedExample) {
  EXPECT_EQ(
    balance_eplb(published, first_loads).experts,
    (std::vector<uint32_t>{5, 6, 5, 7, 8, 4, 3, 4, 10, 9, 10, 2, 0, 1, 11, 1}));
  EXPECT_EQ(
    balance_eplb(published, second_loads).experts,
    (std::vector<uint32_t>{7, 10, 6, 8, 6, 11, 8, 9, 2, 4, 5, 1, 5, 0, 3, 1}));
}

TEST(Eplb, ForgetsGroupsThatNodesCannotShareEvenly) {
  auto shape = published;
  shape.num_nodes = shape.num_workers; // 8 nodes, 4 groups
  auto global = published;
  global.num_nodes = global.num_groups = 1;
  EXPECT_EQ(balance_eplb(shape, first_loads),
            balance_eplb(global, first_loads));
}

TEST(Eplb, GivesEachSlotAnEvenShare) {
  auto x = balance_eplb(published, first_loads);
  for (size_t s = 0; s < x.experts.size(); ++s)
    EXPECT_EQ(x.shares[s],
              1.0 / double(std::ranges::count(x.experts, x.experts[s])));
}

TEST(Eplb, OneSlotForEachWorkerIsFilledInOrder) {
  auto x = balance_eplb({3, 4, 4}, std::vector<double>{1, 9, 2});
  EXPECT_EQ(x.experts, (std::vector<uint32_t>{0, 1, 2, 1}));
}

} // namespace
} // namespace troupe::balance
