#include "runtime/cluster/rank_outlook.hpp"

#include <gtest/gtest.h>

using namespace troupe;

namespace {

/// A front; two units of two nodes each, one with the unit's rank and a worker,
/// one with its other worker. Nodes 1 and 2 are the first unit's.
topology two_units() {
  topology out;
  out.nodes.resize(5);
  for (uint32_t n = 1; n < 5; ++n)
    out.nodes[n].workers = {n - 1};
  out.nodes[1].ranks = {0};
  out.nodes[3].ranks = {1};
  out.units.resize(2);
  out.units[0].ranks = {0};
  out.units[0].workers = {0, 1};
  out.units[1].ranks = {1};
  out.units[1].workers = {2, 3};
  return out;
}

/// One layer of two experts, one on each worker of a unit.
std::vector<placement> placements(uint32_t num_spare) {
  std::vector<node_id> nodes{1, 2, 3, 4};
  return {{1, 2, 4, nodes, 0, 1, 0, num_spare, {0, 1}},
          {1, 2, 4, nodes, 1, 1, 0, num_spare, {2, 3}}};
}

using ranks = std::vector<rank_id>;

rank_outlook begun(uint32_t num_spare = 0) {
  rank_outlook out{two_units()};
  out.begin_with(placements(num_spare));
  return out;
}

} // namespace

TEST(RankOutlook, ARankIsUsableAsLongAsItsUnitHasAllExperts) {
  auto all = begun();
  EXPECT_EQ(all.usable(), (ranks{0, 1}));
  all.lost(2);
  EXPECT_EQ(all.usable(), ranks{1});
  EXPECT_EQ(all.stranded(), ranks{0});
  EXPECT_TRUE(all.can_begin());
  EXPECT_EQ(all.num_alive(), 2u);
  all.back(2);
  EXPECT_EQ(all.usable(), (ranks{0, 1}));
  EXPECT_EQ(all.stranded(), ranks{});
}

TEST(RankOutlook, WhoIsLeavingIsTurnedToIfThereIsNobodyElse) {
  auto all = begun();
  all.leaves(1);
  EXPECT_TRUE(all.is_leaving(0));
  EXPECT_FALSE(all.is_leaving(1));
  EXPECT_EQ(all.usable(), ranks{1});
  EXPECT_EQ(all.num_alive(), 2u);
  all.lost(3);
  EXPECT_EQ(all.usable(), ranks{0});
  all.back(3);
  all.leaves(std::nullopt);
  EXPECT_EQ(all.usable(), (ranks{0, 1}));
  all.leaves(1);
  all.lost(1);
  all.back(1);
  EXPECT_EQ(all.usable(), (ranks{0, 1})) << "a successor is not leaving";
}

TEST(RankOutlook, ANodeIsSparedIfThereAreOthers) {
  auto all = begun();
  EXPECT_EQ(all.usable_beside(0), (ranks{0, 1}));
  EXPECT_EQ(all.usable_beside(1), ranks{1});
  all.lost(3);
  EXPECT_EQ(all.usable_beside(1), ranks{0}) << "there is no other";
}

TEST(RankOutlook, WhatOneUnitMissesIsInTheWayOfNobodyElse) {
  auto all = begun();
  all.lost(2);
  EXPECT_FALSE(all.obstacle(std::nullopt));
  EXPECT_FALSE(all.obstacle(1));
  EXPECT_EQ(all.obstacle(0), 2u);
  all.lost(3);
  EXPECT_EQ(all.usable(), ranks{});
  EXPECT_FALSE(all.can_begin());
  EXPECT_EQ(all.obstacle(1), 3u);
  EXPECT_EQ(all.obstacle(std::nullopt), 2u) << "of who would else go on";
}

TEST(RankOutlook, WhoGetsItsExpertsIsTurnedToIfNobodyHasThem) {
  auto all = begun(1);
  all.lost(2);
  EXPECT_EQ(all.usable(), ranks{1});
  EXPECT_EQ(all.stranded(), ranks{}) << "there is room at the other worker";
  EXPECT_TRUE(all.are_awaited());
  all.lost(4);
  EXPECT_EQ(all.usable(), (ranks{0, 1}));
  EXPECT_FALSE(all.can_begin());
  EXPECT_FALSE(all.obstacle(std::nullopt));
  EXPECT_TRUE(all.give_up(1));
  EXPECT_FALSE(all.give_up(1));
  EXPECT_EQ(all.usable(), ranks{0});
  EXPECT_EQ(all.stranded(), ranks{1});
  EXPECT_EQ(all.obstacle(1), 4u);
}

TEST(RankOutlook, APlacementIsOfOneUnit) {
  auto all = begun(1);
  all.lost(2);
  all.lost(4);
  auto first = placements(1);
  auto next = first[1].left_by({4}).lists();
  next.epoch = 2;
  next.replicas.push_back({0, 1, {{2, 1}, 1}});
  all.placed(*first[1].with(next));
  EXPECT_EQ(all.usable(), ranks{1});
  EXPECT_TRUE(all.are_awaited()) << "the other unit's";
}

TEST(RankOutlook, WithoutRanksTheLastOneThatHadSomeIsMissed) {
  auto all = begun();
  all.lost(3);
  all.lost(1);
  EXPECT_EQ(all.num_alive(), 0u);
  EXPECT_TRUE(all.obstacle(std::nullopt));
  EXPECT_FALSE(all.give_up(0)) << "there never was room";
}
