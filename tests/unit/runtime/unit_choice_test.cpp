#include "runtime/cluster/unit_choice.hpp"

#include <gtest/gtest.h>

using namespace troupe;

namespace {

using ranks = std::vector<rank_id>;

/// Rank 0 prefills, 1 and 2 decode, 3 does both; those that are named.
topology with_units(std::vector<topology_unit> units) {
  topology out;
  out.nodes = {{"a", "127.0.0.1", true, true, false, {0, 1, 2, 3}, {0, 1, 2}}};
  out.units = std::move(units);
  return out;
}

topology_unit unit(unit_role role, std::vector<uint32_t> of) {
  topology_unit out;
  out.role = role;
  out.ranks = std::move(of);
  return out;
}

const topology all_roles
  = with_units({unit(unit_role::prefill, {0}), unit(unit_role::decode, {1, 2}),
                unit(unit_role::both, {3})});

} // namespace

TEST(UnitChoice, WithoutUnitsEverybodyDoesAll) {
  unit_choice x{with_units({})};
  EXPECT_EQ(x.to_begin({2, 0, 1}), (ranks{2, 0, 1}));
  EXPECT_EQ(x.to_follow(0, {0, 1, 2}), ranks{});
  EXPECT_EQ(x.to_begin({}), ranks{});
}

TEST(UnitChoice, WhoDecodesDoesNotBegin) {
  unit_choice x{all_roles};
  EXPECT_EQ(x.to_begin({0, 1, 2, 3}), (ranks{0, 3}));
  EXPECT_EQ(x.to_begin({1, 3}), ranks{3});
}

TEST(UnitChoice, WhoDecodesGoesOnWithWhatOthersBegan) {
  unit_choice x{all_roles};
  EXPECT_EQ(x.to_follow(0, {0, 1, 2, 3}), (ranks{1, 2, 3}));
  EXPECT_EQ(x.to_follow(0, {0, 2}), ranks{2});
  EXPECT_EQ(x.to_follow(3, {0, 1, 2, 3}), ranks{}) << "it does both";
}

TEST(UnitChoice, NobodyWaitsWhileSomebodyCanCompute) {
  unit_choice x{all_roles};
  EXPECT_EQ(x.to_begin({1, 2}), (ranks{1, 2})) << "those who prefill are lost";
  EXPECT_EQ(x.to_follow(1, {1, 2}), ranks{}) << "it goes on by itself";
  EXPECT_EQ(x.to_begin({0}), ranks{0});
  EXPECT_EQ(x.to_follow(0, {0}), ranks{}) << "those who decode are lost";
}
