#include "runtime/dispatch/occupants.hpp"

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

TEST(Occupants, AnswerForTheExpertsThatTheyAre) {
  occupants holds{map, 1, num_dense};
  for (uint32_t layer : {3u, 4u}) {
    EXPECT_EQ(holds.judge(epoch, layer, asking_for(0, 2)), fault{});
    EXPECT_EQ(holds.judge(epoch, layer, asking_for(1, 3)), fault{});
    EXPECT_EQ(holds.judge(epoch, layer, asking_for(1, 2)),
              rows_fault::other_occupant);
    EXPECT_EQ(holds.judge(epoch, layer, asking_for(2, 4)),
              rows_fault::unknown_slot);
  }
}

TEST(Occupants, JudgeEverySlotOfASection) {
  occupants holds{map, 1, num_dense};
  slab_section both{1, {{0, 0, 1}, {1, 1, 1}}, {0, 0}, {2, 3}};
  EXPECT_EQ(holds.judge(epoch, 3, both), fault{});
  both.experts[1] = 4;
  EXPECT_EQ(holds.judge(epoch, 3, both), rows_fault::other_occupant);
}

TEST(Occupants, KnowNoLayerWithoutExperts) {
  occupants holds{map, 1, num_dense};
  for (uint32_t layer : {0u, 2u, 5u, UINT32_MAX})
    EXPECT_EQ(holds.judge(epoch, layer, asking_for(0, 2)),
              rows_fault::unknown_layer);
  EXPECT_EQ(occupants{}.judge(epoch, 3, asking_for(0, 2)),
            rows_fault::unknown_layer);
}

TEST(Occupants, TakeAnEpochThatTheyHaveNotHeardOfYet) {
  occupants holds{map, 1, num_dense};
  EXPECT_EQ(holds.judge(epoch + 1, 3, asking_for(0, 2)), fault{});
  EXPECT_EQ(holds.judge(epoch + 1, 3, asking_for(0, 5)),
            rows_fault::other_occupant);
  for (uint32_t other : {0u, epoch - 1, epoch + 2, UINT32_MAX})
    EXPECT_EQ(holds.judge(other, 3, asking_for(0, 2)),
              rows_fault::unknown_epoch);
}

TEST(Occupants, HaveAClauseForEveryFault) {
  for (int x = 1; x < int(rows_fault::num_faults); ++x)
    EXPECT_GT(std::string{to_string(rows_fault(x))}.size(), 10u);
}
