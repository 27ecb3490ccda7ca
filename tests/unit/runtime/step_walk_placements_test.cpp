/// Steps whose placement changes under them, and steps that wait for experts.

#include "tests/unit/runtime/walker.hpp"

using namespace troupe;
using namespace troupe::walking;

namespace {

/// The walker's placement, of another epoch.
std::shared_ptr<const placement> of_epoch(uint32_t epoch) {
  return std::make_shared<const placement>(
    placement{2, 4, 2, {0, 1}, 0, epoch});
}

/// Up to the first dispatch.
void plan(walker& x, uint8_t lane = 0) {
  x.hear(x.walk().begin(lane));
  EXPECT_EQ(x.hear(x.walk().stage_ended(x.serial(lane), "")),
            (lane == 0 ? "" : "lane 1 ") + std::string{"dispatch"});
}

} // namespace

TEST(StepWalkPlacements, AStepEndsWithTheOneThatItBeganWith) {
  walker x{2};
  plan(x);
  x.hear(x.dispatch());
  EXPECT_EQ(x.hear(x.walk().set_map(of_epoch(2))), "-");
  EXPECT_EQ(x.walk().oldest_epoch(), 1u);
  EXPECT_EQ(x.walk().key_of(0).epoch, 1u);
  plan(x, 1);
  EXPECT_EQ(x.walk().key_of(1).epoch, 2u) << "the next takes the new one";
  x.answer(all_near);
  x.answer(all_far);
  EXPECT_EQ(x.hear(x.walk().stage_ended(x.serial(), "")), "dispatch");
  EXPECT_EQ(x.walk().key_of(0).epoch, 1u) << "in all layers";
  x.hear(x.dispatch());
  x.answer(all_near);
  x.answer(all_far);
  EXPECT_EQ(x.hear(x.walk().stage_ended(x.serial(), "")), "end");
  EXPECT_EQ(x.walk().oldest_epoch(), 2u);
}

TEST(StepWalkPlacements, AnAnswerOfAnotherEpochIsNotOfThisStep) {
  walker x;
  plan(x);
  x.hear(x.dispatch());
  auto of = x.walk().key_of(0);
  of.epoch = 2;
  EXPECT_EQ(x.answer(all_near, of), "-");
  EXPECT_EQ(x.answer(all_near), "land");
}

TEST(StepWalkPlacements, AHeldStepGoesOnWithTheNewOne) {
  walker x;
  plan(x);
  EXPECT_EQ(x.hear(x.walk().held(0)), "-");
  auto nobody_left = [](uint8_t, uint32_t) { return true; };
  clock::instant now{1h};
  EXPECT_EQ(x.hear(x.walk().tick(now, nobody_left)), "-");
  EXPECT_EQ(x.hear(x.walk().set_map(of_epoch(2))), "dispatch");
  EXPECT_EQ(x.walk().oldest_epoch(), 2u);
  EXPECT_EQ(x.hear(x.walk().held(0)), "-") << "somebody is still waiting";
  EXPECT_EQ(x.hear(x.walk().set_map(of_epoch(3))), "dispatch");
  EXPECT_EQ(x.hear(x.dispatch()), "run 7-8");
  EXPECT_EQ(x.walk().key_of(0).epoch, 3u);
}

/// Else the one who is to load what the first waits for would wait for the
/// second, which waits for the first.
TEST(StepWalkPlacements, WhoFollowsAHeldStepKeepsNoOldPlacement) {
  for (bool is_away : {false, true}) {
    walker x{2};
    plan(x);
    x.hear(x.walk().held(0));
    x.hear(x.walk().begin(1, 1));
    x.hear(x.walk().stage_ended(x.serial(1), ""));
    x.hear(x.dispatch(1));
    auto come_back = [&] {
      x.answer(all_near, x.walk().key_of(1));
      x.answer(all_far, x.walk().key_of(1));
      x.hear(x.walk().stage_ended(x.serial(1), ""));
    };
    if (!is_away)
      come_back();
    x.hear(x.walk().set_map(of_epoch(2)));
    x.hear(x.walk().held(0));
    if (is_away)
      come_back();
    EXPECT_EQ(x.walk().oldest_epoch(), 2u) << is_away;
    x.hear(x.walk().set_map(of_epoch(3)));
    EXPECT_EQ(x.walk().oldest_epoch(), 3u) << is_away;
  }
}

TEST(StepWalkPlacements, AStepIsHeldByTheNewestAlone) {
  walker x;
  plan(x);
  x.hear(x.walk().set_map(of_epoch(2))); // while it computes
  EXPECT_EQ(x.walk().key_of(0).epoch, 1u);
  EXPECT_EQ(x.hear(x.walk().held(0)), "dispatch");
  EXPECT_EQ(x.walk().key_of(0).epoch, 2u);
  EXPECT_EQ(x.hear(x.walk().held(0)), "-");
}

TEST(StepWalkPlacements, AHeldStepDoesNotWaitForEver) {
  walker x;
  plan(x);
  x.hear(x.walk().held(0));
  auto nobody_left = [](uint8_t, uint32_t) { return true; };
  clock::instant now{1h};
  EXPECT_EQ(x.hear(x.walk().tick(now, nobody_left)), "-");
  EXPECT_EQ(x.hear(x.walk().tick(now + 99ms, nobody_left)), "-");
  EXPECT_EQ(x.hear(x.walk().tick(now + 100ms, nobody_left)), "fail");
  EXPECT_EQ(x.walk().cause(0).code, errc::deadline_passed);
}

TEST(StepWalkPlacements, HeldStepsFailOnceNobodyComes) {
  walker x{2};
  plan(x);
  x.hear(x.walk().held(0));
  plan(x, 1);
  x.hear(x.dispatch(1));
  EXPECT_EQ(x.hear(x.walk().give_up_waiting({errc::peer_lost, "no room"})),
            "fail");
  EXPECT_TRUE(x.walk().step_is_out(1));
}

TEST(StepWalkPlacements, NobodyTurnsToTheLostByAnyOfThem) {
  walker x{2};
  plan(x);
  x.hear(x.walk().set_map(of_epoch(2)));
  plan(x, 1);
  x.walk().avoid({1});
  for (uint8_t lane : {0, 1}) {
    EXPECT_EQ(x.walk().map_of(lane).num_waiting(), 4u) << int{lane};
    EXPECT_EQ(x.walk().map_of(lane).epoch(), lane + 1u);
  }
  EXPECT_EQ(x.walk().map()->num_waiting(), 4u);
}
