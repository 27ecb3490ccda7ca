#include "runtime/dispatch/placement_change.hpp"

#include <gtest/gtest.h>

using namespace troupe;

namespace {

/// Two layers, four experts, four workers on three nodes, one slot to spare:
/// worker w has expert w in slot 0.
const placement now{2, 4, 4, {0, 1, 1, 2}, 0, 5, 0, 1};

placed_expert place(uint16_t layer, uint16_t expert, worker_id worker,
                    uint16_t slot, uint16_t weight = 1) {
  return {layer, expert, {{worker, slot}, weight}};
}

placement_lists next_with(const std::vector<placed_expert>& more,
                          const std::vector<placed_expert>& less = {}) {
  auto out = now.lists();
  ++out.epoch;
  for (auto& x : less)
    std::erase(out.replicas, x);
  out.replicas.insert(out.replicas.end(), more.begin(), more.end());
  return out;
}

std::string why_not(const placement_lists& next,
                    const std::set<node_id>& lost = {}) {
  auto change = plan_change(now, next, lost);
  return change ? "" : change.why().message;
}

} // namespace

TEST(Placement, IsMadeOfListsAndGivesThem) {
  auto lists = next_with({place(1, 2, 0, 1, 3)});
  auto next = now.with(lists);
  ASSERT_TRUE(next) << next.why().message;
  EXPECT_EQ(next->epoch(), 6u);
  EXPECT_EQ(next->replicas_of(1, 2).size(), 2u);
  EXPECT_EQ(next->replicas_of(0, 2).size(), 1u);
  EXPECT_EQ(next->slots_of(0), 2u);
  auto again = now.with(next->lists());
  ASSERT_TRUE(again);
  EXPECT_EQ(again->lists(), next->lists());
  EXPECT_EQ(next->experts_of(0),
            (std::vector<std::vector<uint32_t>>{{0}, {0, 2}}));
  EXPECT_EQ(now.with(now.lists())->lists(), now.lists());
}

TEST(Placement, KnowsWhoIsWaiting) {
  EXPECT_EQ(now.num_waiting(), 0u);
  auto left = now.left_by({1});
  EXPECT_EQ(left.num_waiting(), 4u);
  EXPECT_TRUE(left.replicas_of(1, 1).empty());
  EXPECT_EQ(left.replicas_of(1, 3).size(), 1u);
  EXPECT_FALSE(now.without({1}));
}

TEST(PlacementChange, SaysWhoComesAndWhoGoes) {
  auto change
    = plan_change(now, next_with({place(0, 3, 1, 1)}, {place(0, 3, 3, 0)}));
  ASSERT_TRUE(change) << change.why().message;
  EXPECT_EQ(change->arriving, (slots_by_worker{{1, {{0, 1, 3}}}}));
  EXPECT_EQ(change->leaving, (slots_by_worker{{3, {{0, 0, 3}}}}));
  EXPECT_EQ(change->next.epoch(), 6u);
  auto weights
    = plan_change(now, next_with({place(0, 3, 3, 0, 9)}, {place(0, 3, 3, 0)}));
  ASSERT_TRUE(weights);
  EXPECT_TRUE(weights->arriving.empty() && weights->leaving.empty());
}

TEST(PlacementChange, IsRefusedInASentence) {
  auto has = [](const std::string& text, const char* words) {
    EXPECT_NE(text.find(words), text.npos) << text << " | " << words;
  };
  has(why_not(now.lists()), "the next one is 6, not 5");
  has(why_not(next_with({place(2, 0, 0, 1)})), "does not exist");
  has(why_not(next_with({place(0, 4, 0, 1)})), "does not exist");
  has(why_not(next_with({place(0, 1, 4, 1)})), "no such slot");
  has(why_not(next_with({place(0, 1, 0, 2)})), "no such slot");
  has(why_not(next_with({place(0, 1, 0, 1, 0)})), "no share");
  has(why_not(next_with({place(0, 1, 0, 0)})), "another's there");
  has(why_not(next_with({place(0, 0, 0, 1)})), "holds it twice");
  has(why_not(next_with({place(0, 1, 0, 0)}, {place(0, 0, 0, 0)})),
      "still holds expert 0");
  has(why_not(next_with({}, {place(1, 2, 2, 0)})), "would have expert 2");
  has(why_not(next_with({place(0, 1, 3, 1)}), {2}), "was lost");
  auto other = next_with({});
  other.unit = 1;
  has(why_not(other), "another unit");
}
