#include "runtime/cluster/repair_plan.hpp"

#include "runtime/dispatch/placement_change.hpp"

#include <gtest/gtest.h>

#include <random>

using namespace troupe;

namespace {

/// Who has an expert by a plan, beside those who had it before.
std::vector<slot_address> gained(const placement& before,
                                 const repair_plan& plan, uint32_t layer,
                                 uint32_t expert) {
  std::vector<slot_address> out;
  auto after = before.with(plan.next);
  for (auto& x : after->replicas_of(layer, expert))
    if (std::ranges::none_of(before.replicas_of(layer, expert),
                             [&](auto& y) { return y.at == x.at; }))
      out.push_back(x.at);
  return out;
}

} // namespace

TEST(RepairPlan, BringsTheLostWhereMostIsFree) {
  // Of six experts worker 0 has two, as have the others, on a node each.
  placement all{1, 6, 3, {0, 1, 2}, 0, 1, 0, 2};
  auto left = all.left_by({2});
  auto plan = plan_repair(left, all, {2});
  ASSERT_TRUE(plan);
  EXPECT_FALSE(plan->leaves_waiting);
  EXPECT_EQ(plan->next.epoch, 2u);
  EXPECT_EQ(gained(left, *plan, 0, 4), (std::vector<slot_address>{{0, 2}}));
  EXPECT_EQ(gained(left, *plan, 0, 5), (std::vector<slot_address>{{1, 2}}));
  EXPECT_TRUE(can_repair(left, {2}));
  EXPECT_TRUE(plan_change(left, plan->next, {2}));
}

TEST(RepairPlan, SaysWhenThereIsNoRoom) {
  placement full{1, 6, 3, {0, 1, 2}};
  EXPECT_FALSE(can_repair(full.left_by({2}), {2}));
  EXPECT_FALSE(plan_repair(full.left_by({2}), full, {2}));
  placement tight{1, 6, 3, {0, 1, 2}, 0, 1, 0, 1};
  auto left = tight.left_by({1, 2});
  auto plan = plan_repair(left, tight, {1, 2});
  ASSERT_TRUE(plan);
  EXPECT_TRUE(plan->leaves_waiting);
  EXPECT_FALSE(can_repair(left, {1, 2}));
}

TEST(RepairPlan, DoesNothingForThoseWhoAreWhole) {
  placement all{2, 4, 2, {0, 1}, 0, 1, 4, 1};
  EXPECT_FALSE(plan_repair(all, all, {}));
  EXPECT_TRUE(can_repair(all, {}));
}

TEST(RepairPlan, RestoresReplicasOnceNobodyIsWaiting) {
  // Both workers have all four experts; a third has none of them to lose.
  placement all{1, 4, 3, {0, 1, 2}, 0, 1, 2, 2};
  auto left = all.left_by({0});
  ASSERT_EQ(left.num_waiting(), 0u);
  auto plan = plan_repair(left, all, {0});
  ASSERT_TRUE(plan);
  auto next = left.with(plan->next);
  ASSERT_TRUE(next);
  for (uint32_t e = 0; e < 4; ++e)
    EXPECT_EQ(next->replicas_of(0, e).size(), all.replicas_of(0, e).size())
      << e;
}

TEST(RepairPlan, IsAlwaysAChangeThatCanBeMade) {
  std::mt19937 random{7};
  auto draw = [&](uint32_t least, uint32_t most) {
    return std::uniform_int_distribution<uint32_t>{least, most}(random);
  };
  for (int round = 0; round < 300; ++round) {
    auto num_workers = draw(1, 8);
    auto num_experts = draw(num_workers, 24);
    std::vector<node_id> nodes(num_workers);
    for (auto& x : nodes)
      x = node_id(draw(0, 3));
    auto redundant = draw(0, num_experts * (num_workers - 1));
    placement all{2, num_experts, num_workers, nodes,
                  0, 1,           redundant,   draw(0, 8)};
    std::set<node_id> lost{node_id(draw(0, 3)), node_id(draw(0, 3))};
    auto left = all.left_by(lost);
    auto plan = plan_repair(left, all, lost);
    if (!plan)
      continue;
    auto change = plan_change(left, plan->next, lost);
    ASSERT_TRUE(change) << "round " << round << ": " << change.why().message;
    EXPECT_EQ(change->next.num_waiting() == 0, !plan->leaves_waiting)
      << "round " << round;
    EXPECT_TRUE(change->leaving.empty());
  }
}

TEST(RepairPlan, WhoIsBackKeepsWhatOthersLack) {
  // Four experts twice: workers 0 and 1 have {0, 1, 2, 3}, and so have 2 and 3.
  placement first{1, 4, 4, {0, 1, 2, 3}, 0, 1, 4, 2};
  auto now = first.with(first.left_by({1, 2, 3}).lists());
  ASSERT_TRUE(now);
  EXPECT_EQ(now->num_waiting(), 2u);
  auto back = plan_return(*now, first, first, {1, 3});
  EXPECT_EQ(back.next.epoch(), 2u);
  EXPECT_EQ(back.next.num_waiting(), 0u);
  EXPECT_EQ(back.arriving, (slots_by_worker{{1, {}}, {3, {}}}));
  EXPECT_TRUE(back.leaving.empty()) << "all are wanted twice";
  auto once = placement{1, 4, 4, {0, 1, 2, 3}, 0, 1, 0, 2};
  back = plan_return(*now, first, once, {1, 3});
  EXPECT_EQ(back.next.num_waiting(), 0u);
  ASSERT_EQ(back.leaving.size(), 1u) << "worker 1 has both, too";
  EXPECT_EQ(back.leaving.at(3),
            (std::vector<layer_slot>{{0, 0, 2}, {0, 1, 3}}));
}

TEST(RepairPlan, WhoIsBackHasTheShareThatWasWanted) {
  placement first{1, 2, 2, {0, 1}};
  auto lists = first.lists();
  ++lists.epoch;
  for (auto& x : lists.replicas)
    x.replica.weight = 5;
  auto goal = first.with(lists);
  ASSERT_TRUE(goal);
  auto back = plan_return(goal->left_by({1}), first, *goal, {1});
  lists.epoch = 3;
  EXPECT_EQ(back.next.lists(), lists);
}
