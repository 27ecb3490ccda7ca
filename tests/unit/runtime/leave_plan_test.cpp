#include "runtime/cluster/leave_plan.hpp"

#include <gtest/gtest.h>

#include <random>

using namespace troupe;

TEST(LeavePlan, GivesWhatANodeAloneHasToOthers) {
  // Six experts, two of them on each of three nodes, with two slots to spare.
  placement all{1, 6, 3, {0, 1, 2}, 0, 1, 0, 2};
  auto plan = plan_leave(all, all, {}, 2);
  ASSERT_TRUE(plan) << plan.why().message;
  EXPECT_EQ(plan->num_moved, 2u);
  EXPECT_EQ(plan->next.epoch, 2u);
  auto change = plan_change(all, plan->next);
  ASSERT_TRUE(change) << change.why().message;
  EXPECT_EQ(change->next.num_waiting(), 0u);
  EXPECT_EQ(change->next.left_by({2}).lists(), change->next.lists())
    << "nobody turns to it";
  EXPECT_EQ(change->leaving.at(2).size(), 2u);
  EXPECT_EQ(all.num_waiting(), 0u);
}

TEST(LeavePlan, PlacesNothingOnWhoIsClosed) {
  placement all{1, 6, 3, {0, 1, 2}, 0, 1, 0, 2};
  auto plan = plan_leave(all, all, {0}, 2);
  ASSERT_TRUE(plan) << plan.why().message;
  auto change = plan_change(all, plan->next);
  ASSERT_TRUE(change);
  ASSERT_EQ(change->arriving.size(), 1u);
  EXPECT_EQ(change->arriving.begin()->first, 1);
}

TEST(LeavePlan, RefusesWhereThereIsNoRoomForOneOfThem) {
  placement tight{1, 6, 3, {0, 1, 2}, 0, 1, 0, 1};
  EXPECT_TRUE(plan_leave(tight, tight, {}, 2)) << "a slot each";
  auto plan = plan_leave(tight, tight, {0}, 2);
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.why().code, errc::refused);
  EXPECT_NE(plan.why().message.find("no room for the 2 experts"),
            std::string::npos)
    << plan.why().message;
  placement full{1, 6, 3, {0, 1, 2}};
  EXPECT_FALSE(plan_leave(full, full, {}, 2));
}

TEST(LeavePlan, CanDoWithoutReplicasForWhichThereIsNoRoom) {
  placement twice{1, 4, 4, {0, 1, 2, 3}, 0, 1, 4, 0};
  auto plan = plan_leave(twice, twice, {}, 3);
  ASSERT_TRUE(plan) << plan.why().message;
  EXPECT_EQ(plan->num_moved, 0u);
  EXPECT_EQ(plan->next.replicas.size(), 6u);
  placement roomy{1, 4, 4, {0, 1, 2, 3}, 0, 1, 4, 2};
  plan = plan_leave(roomy, roomy, {}, 3);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->num_moved, 2u);
  EXPECT_EQ(plan->next.replicas.size(), 8u);
}

TEST(LeavePlan, WaitsForThoseWhoAreBeingPlacedAnew) {
  placement all{1, 6, 3, {0, 1, 2}, 0, 1, 0, 4};
  auto plan = plan_leave(all.left_by({1}), all, {1}, 2);
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.why().code, errc::overloaded);
}

TEST(LeavePlan, HasNothingToMoveOfANodeWithoutWorkers) {
  placement all{1, 6, 3, {0, 1, 2}, 0, 1, 0, 2};
  auto plan = plan_leave(all, all, {}, 7);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->num_moved, 0u);
  EXPECT_EQ(plan->next.replicas, all.lists().replicas);
}

TEST(LeavePlan, IsAlwaysAChangeThatLeavesNothingBehind) {
  std::mt19937 random{11};
  auto draw = [&](uint32_t least, uint32_t most) {
    return std::uniform_int_distribution<uint32_t>{least, most}(random);
  };
  int num_planned = 0;
  for (int round = 0; round < 300; ++round) {
    auto num_workers = draw(1, 8);
    auto num_experts = draw(num_workers, 24);
    std::vector<node_id> nodes(num_workers);
    for (auto& x : nodes)
      x = node_id(draw(0, 3));
    auto redundant = draw(0, num_experts * (num_workers - 1));
    placement all{2, num_experts, num_workers, nodes,
                  0, 1,           redundant,   draw(0, 8)};
    auto gone = node_id(draw(0, 3)), node = node_id(draw(0, 3));
    std::set<node_id> closed;
    if (gone != node)
      closed.insert(gone);
    auto now = all.left_by(closed);
    auto plan = plan_leave(now, all, closed, node);
    if (!plan)
      continue;
    ++num_planned;
    auto change = plan_change(now, plan->next, closed);
    ASSERT_TRUE(change) << "round " << round << ": " << change.why().message;
    EXPECT_EQ(change->next.num_waiting(), 0u) << "round " << round;
    uint32_t num_arriving = 0;
    for (auto& [worker, slots] : change->arriving) {
      EXPECT_NE(now.node_of(worker), node) << "round " << round;
      num_arriving += uint32_t(slots.size());
    }
    EXPECT_EQ(num_arriving, plan->num_moved) << "round " << round;
    for (auto& x : plan->next.replicas)
      EXPECT_NE(now.node_of(x.replica.at.worker), node) << "round " << round;
  }
  EXPECT_GT(num_planned, 50) << "seed 11";
}
