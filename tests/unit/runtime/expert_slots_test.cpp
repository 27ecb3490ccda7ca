#include "runtime/dispatch/expert_slots.hpp"

#include <gtest/gtest.h>

using namespace troupe;

namespace {

constexpr uint32_t num_dense = 3;
constexpr uint32_t epoch = 7;

/// Two MoE layers, eight experts, four workers: worker 1 holds 2 and 3.
const placement map{2, 8, 4, {0, 0, 1, 1}, 0, epoch};

slab_section asking_for(uint16_t slot, uint16_t expert) {
  return {1, {{slot, 0, 1}}, {0}, {expert}};
}

using fault = std::optional<rows_fault>;

} // namespace

TEST(ExpertSlots, AnswerForTheExpertsThatTheyAre) {
  expert_slots holds{map, 1, num_dense};
  for (uint32_t layer : {3u, 4u}) {
    EXPECT_EQ(holds.judge(epoch, layer, asking_for(0, 2)), fault{});
    EXPECT_EQ(holds.judge(epoch, layer, asking_for(1, 3)), fault{});
    EXPECT_EQ(holds.judge(epoch, layer, asking_for(1, 2)),
              rows_fault::other_occupant);
    EXPECT_EQ(holds.judge(epoch, layer, asking_for(2, 4)),
              rows_fault::unknown_slot);
  }
}

TEST(ExpertSlots, JudgeEverySlotOfASection) {
  expert_slots holds{map, 1, num_dense};
  slab_section both{1, {{0, 0, 1}, {1, 1, 1}}, {0, 0}, {2, 3}};
  EXPECT_EQ(holds.judge(epoch, 3, both), fault{});
  both.experts[1] = 4;
  EXPECT_EQ(holds.judge(epoch, 3, both), rows_fault::other_occupant);
}

TEST(ExpertSlots, KnowNoLayerWithoutExperts) {
  expert_slots holds{map, 1, num_dense};
  for (uint32_t layer : {0u, 2u, 5u, UINT32_MAX})
    EXPECT_EQ(holds.judge(epoch, layer, asking_for(0, 2)),
              rows_fault::unknown_layer);
  EXPECT_EQ(expert_slots{}.judge(epoch, 3, asking_for(0, 2)),
            rows_fault::unknown_layer);
}

TEST(ExpertSlots, TakeAnEpochThatTheyHaveNotHeardOfYet) {
  expert_slots holds{map, 1, num_dense};
  EXPECT_EQ(holds.judge(epoch + 1, 3, asking_for(0, 2)), fault{});
  EXPECT_EQ(holds.judge(epoch + 1, 3, asking_for(0, 5)),
            rows_fault::other_occupant);
  for (uint32_t other : {0u, epoch - 1, epoch + 2, UINT32_MAX})
    EXPECT_EQ(holds.judge(other, 3, asking_for(0, 2)),
              rows_fault::unknown_epoch);
}

TEST(ExpertSlots, HaveAClauseForEveryFault) {
  for (int x = 1; x < int(rows_fault::num_faults); ++x)
    EXPECT_GT(std::string{to_string(rows_fault(x))}.size(), 10u);
}

namespace {

using state = expert_slots::state;

/// The same with one slot to spare.
const placement roomy{2, 8, 4, {0, 0, 1, 1}, 0, epoch, 0, 1};

const std::vector<layer_slot> come{{1, 2, 6}};
const std::vector<layer_slot> go{{1, 0, 2}};

fault judge(const expert_slots& x, uint32_t of, uint16_t slot,
            uint16_t expert) {
  return x.judge(of, num_dense + 1, asking_for(slot, expert));
}

} // namespace

TEST(ExpertSlots, AnswerFromOneEpochToAnother) {
  expert_slots holds{roomy, 1, num_dense};
  EXPECT_EQ(judge(holds, epoch, 2, 6), rows_fault::other_occupant);
  ASSERT_TRUE(holds.load(come));
  EXPECT_EQ(holds.state_of(1, 2), state::loading);
  EXPECT_EQ(judge(holds, epoch + 1, 2, 6), rows_fault::other_occupant);
  holds.verify(come);
  EXPECT_EQ(judge(holds, epoch + 1, 2, 6), fault{}) << "ranks may know first";
  EXPECT_EQ(judge(holds, epoch, 2, 6), rows_fault::other_occupant);
  holds.serve(epoch + 1, go);
  EXPECT_EQ(judge(holds, epoch + 1, 2, 6), fault{});
  EXPECT_EQ(judge(holds, epoch, 0, 2), fault{}) << "two live side by side";
  EXPECT_EQ(judge(holds, epoch + 1, 0, 2), rows_fault::other_occupant);
  EXPECT_EQ(judge(holds, epoch + 2, 1, 3), fault{});
  EXPECT_EQ(holds.retire(epoch + 1), go);
  EXPECT_EQ(holds.state_of(1, 0), state::retiring);
  EXPECT_EQ(judge(holds, epoch, 1, 3), rows_fault::unknown_epoch);
  EXPECT_EQ(judge(holds, epoch + 1, 1, 3), fault{});
  EXPECT_FALSE(holds.load(go)) << "it is still read";
  holds.free(go);
  EXPECT_EQ(holds.state_of(1, 0), state::free);
  EXPECT_TRUE(holds.load(go));
}

TEST(ExpertSlots, CountThemselves) {
  expert_slots holds{roomy, 1, num_dense};
  auto check = [&](uint64_t free, uint64_t loading, uint64_t verified,
                   uint64_t serving, uint64_t retiring) {
    EXPECT_EQ(holds.count(state::free), free);
    EXPECT_EQ(holds.count(state::loading), loading);
    EXPECT_EQ(holds.count(state::verified), verified);
    EXPECT_EQ(holds.count(state::serving), serving);
    EXPECT_EQ(holds.count(state::retiring), retiring);
  };
  check(2, 0, 0, 4, 0);
  ASSERT_TRUE(holds.load(come));
  check(1, 1, 0, 4, 0);
  holds.verify(come);
  check(1, 0, 1, 4, 0);
  holds.serve(epoch + 1, go);
  check(1, 0, 0, 5, 0);
  holds.free(holds.retire(epoch + 1));
  check(2, 0, 0, 4, 0);
}

TEST(ExpertSlots, DropWhatWasLoadedForNothing) {
  expert_slots holds{roomy, 1, num_dense};
  ASSERT_TRUE(holds.load(come));
  holds.verify(come);
  ASSERT_TRUE(holds.load({{0, 2, 5}}));
  EXPECT_EQ(holds.drop(), (std::vector<layer_slot>{{0, 2, 5}, {1, 2, 6}}));
  EXPECT_EQ(judge(holds, epoch + 1, 2, 6), rows_fault::other_occupant);
  EXPECT_TRUE(holds.drop().empty());
  EXPECT_EQ(judge(holds, epoch, 0, 2), fault{});
}

TEST(ExpertSlots, TakeNoOrderThatMakesNoSense) {
  expert_slots holds{roomy, 1, num_dense};
  for (auto& bad : std::vector<std::vector<layer_slot>>{
         {{2, 2, 6}}, {{1, 3, 6}}, {{1, 0, 6}}, {{1, 2, 6}, {1, 2, 7}}}) {
    EXPECT_FALSE(holds.load(bad));
    EXPECT_EQ(holds.count(state::loading), 0u);
  }
  holds.serve(epoch, go);
  holds.serve(epoch + 1, {{9, 9, 9}, {1, 2, 6}});
  EXPECT_TRUE(holds.retire(epoch + 7).empty());
  EXPECT_EQ(holds.oldest_epoch(), epoch + 1);
  EXPECT_EQ(judge(holds, epoch + 1, 0, 2), fault{});
}
