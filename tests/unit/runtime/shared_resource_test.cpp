#include "runtime/sim/shared_resource.hpp"

#include <gtest/gtest.h>

using namespace troupe;
using namespace std::chrono_literals;

namespace {

using turn = shared_resource::turn;

class SharedResource : public testing::Test {
protected:
  void enqueue(turn when, uint32_t step, virtual_duration time) {
    span what;
    what.step = step;
    shared_.enqueue(when, {time, what, true, [this, step] {
                             ended_.push_back({step, in_.now() - world_begin});
                           }});
  }

  void run() {
    while (in_.step()) {
    }
  }

  using ends = std::vector<std::pair<uint32_t, virtual_duration>>;

  world in_{1};
  std::vector<span> seen_;
  ends ended_;
  shared_resource shared_{in_, [this](auto& x) { seen_.push_back(x); }};
};

TEST_F(SharedResource, DoesOneThingAfterTheOther) {
  enqueue(turn::patient, 1, 5us);
  enqueue(turn::patient, 2, 7us);
  run();
  EXPECT_EQ(ended_, (ends{{1, 5us}, {2, 12us}}));
}

TEST_F(SharedResource, GivesWayToWhatIsUrgentAndGoesOn) {
  enqueue(turn::patient, 1, 10us);
  in_.at(world_begin + 4us, [this] { enqueue(turn::urgent, 2, 3us); });
  in_.at(world_begin + 5us, [this] { enqueue(turn::urgent, 3, 1us); });
  run();
  EXPECT_EQ(ended_, (ends{{2, 7us}, {3, 8us}, {1, 14us}}));
  ASSERT_EQ(seen_.size(), 4u);
  EXPECT_EQ(seen_[0].step, 1u);
  EXPECT_EQ(seen_[0].end - seen_[0].begin, 4us);
  EXPECT_EQ(seen_[3].step, 1u);
  EXPECT_EQ(seen_[3].end - seen_[3].begin, 6us);
}

TEST_F(SharedResource, WhatEndsAtThatInstantHasEnded) {
  enqueue(turn::patient, 1, 4us);
  in_.at(world_begin + 4us, [this] { enqueue(turn::urgent, 2, 3us); });
  run();
  EXPECT_EQ(ended_, (ends{{1, 4us}, {2, 7us}}));
  EXPECT_EQ(seen_.size(), 2u);
}

TEST_F(SharedResource, WorkOfNoTimeKeepsItsPlace) {
  enqueue(turn::patient, 1, 4us);
  enqueue(turn::patient, 2, 0us);
  enqueue(turn::patient, 3, 1us);
  run();
  EXPECT_EQ(ended_, (ends{{1, 4us}, {2, 4us}, {3, 5us}}));
}

} // namespace
