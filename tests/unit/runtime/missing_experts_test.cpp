#include "runtime/cluster/missing_experts.hpp"

#include <gtest/gtest.h>

using namespace troupe;

namespace {

std::optional<node_id> none() {
  return std::nullopt;
}

/// Of the placement, in which they have somebody again.
placement of_epoch(const placement& x, uint32_t epoch) {
  auto next = x.lists();
  next.epoch = epoch;
  return *x.with(next);
}

} // namespace

TEST(MissingExperts, AreThoseOfWhoWasLostLast) {
  placement full{1, 2, 2, {2, 3}};
  missing_experts all;
  all.begin_with(full);
  EXPECT_EQ(all.node(), none());
  all.lost(2);
  all.lost(3);
  EXPECT_EQ(all.node(), 3u);
  EXPECT_FALSE(all.are_awaited()) << "there is no room";
  all.back(3);
  EXPECT_EQ(all.node(), 2u);
  all.back(2);
  EXPECT_EQ(all.node(), none());
}

TEST(MissingExperts, AreAwaitedWhereThereIsRoomUntilNobodyTriesAnyMore) {
  placement all_have_room{1, 2, 2, {2, 3}, 0, 1, 0, 1};
  missing_experts all;
  all.begin_with(all_have_room);
  all.lost(2);
  EXPECT_EQ(all.node(), 2u);
  EXPECT_TRUE(all.are_awaited());
  all.give_up();
  EXPECT_EQ(all.node(), 2u);
  EXPECT_FALSE(all.are_awaited());
  auto next = all_have_room.left_by({2}).lists();
  next.epoch = 2;
  next.replicas.push_back({0, 0, {{1, 1}, 1}});
  all.placed(*all_have_room.with(next));
  EXPECT_EQ(all.node(), none());
}

TEST(MissingExperts, AreAwaitedFromWhoIsBackOnceOthersWerePlaced) {
  placement full{1, 2, 2, {2, 3}};
  missing_experts all;
  all.begin_with(full);
  all.placed(of_epoch(full, 2));
  all.lost(2);
  EXPECT_FALSE(all.are_awaited());
  all.back(2);
  EXPECT_EQ(all.node(), 2u);
  EXPECT_TRUE(all.are_awaited());
  all.placed(of_epoch(full, 3));
  EXPECT_EQ(all.node(), none());
}

TEST(MissingExperts, AreAllAsLongAsNobodyKnowsWhoHasWhat) {
  missing_experts all;
  all.lost(1);
  EXPECT_EQ(all.node(), 1u);
  EXPECT_FALSE(all.are_awaited());
}

TEST(MissingExperts, AreNotThoseOfWhoIsLostLaterAndHadNone) {
  placement some{1, 2, 3, {2, 3, 4}, 0, 1, 1, 0}; // node 4 has a replica
  missing_experts all;
  all.begin_with(some.left_by({4}));
  all.lost(3);
  all.lost(2);
  all.lost(4);
  EXPECT_EQ(all.node(), 2u);
}

TEST(MissingExperts, AreNotThoseOfWhoNeverCame) {
  placement with_later{1, 2, 3, {2, 3, 4}, 0, 1, 1, 0, {}, {4}};
  ASSERT_EQ(with_later.left_by({4}).num_waiting(), 0u);
  missing_experts all;
  all.begin_with(with_later);
  all.lost(4, false);
  EXPECT_EQ(all.node(), none());
  all.lost(2);
  all.lost(3);
  EXPECT_EQ(all.node(), 3u);
  all.back(3);
  EXPECT_EQ(all.node(), 2u);
}
