#include "tests/unit/runtime/placement_writer_fixture.hpp"

using namespace troupe;

TEST_F(PlacementWriter, TellsRanksOnceAllIsLoadedAndWorkersOnceAllPlanWithIt) {
  begin();
  ASSERT_TRUE(writer_->ask(moved(), now_));
  EXPECT_EQ(todo(), "load 1");
  EXPECT_EQ(writer_->current().epoch(), 1u);
  step(1, slots_step::load);
  EXPECT_EQ(todo(), "serve 0, serve 1, serve 2, publish 2");
  EXPECT_EQ(writer_->current().epoch(), 2u);
  writer_->taken(0, 2, now_);
  writer_->taken(1, 1, now_);
  EXPECT_EQ(todo(), "") << "rank 1 speaks of the old one";
  writer_->taken(1, 2, now_);
  EXPECT_EQ(todo(), "retire 0, retire 1, retire 2");
  step(0, slots_step::retire);
  step(1, slots_step::retire);
  EXPECT_EQ(todo(), "");
  step(2, slots_step::retire);
  EXPECT_EQ(todo(), "done");
  EXPECT_EQ(writer_->at(), phase::idle);
}

TEST_F(PlacementWriter, TellsWorkersWhoLeaves) {
  begin();
  ASSERT_TRUE(writer_->ask(moved(), now_));
  auto load = writer_->take_actions().at(0);
  EXPECT_EQ(load.slots, (std::vector<layer_slot>{{0, 1, 0}}));
  step(1, slots_step::load);
  auto serve = writer_->take_actions().at(0);
  EXPECT_EQ(serve.epoch, 2u);
  EXPECT_EQ(serve.slots, (std::vector<layer_slot>{{0, 0, 0}}));
}

TEST_F(PlacementWriter, MakesOneChangeAtATime) {
  begin();
  ASSERT_TRUE(writer_->ask(moved(), now_));
  auto second = writer_->ask(moved(), now_);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.why().code, errc::overloaded);
  begin();
  auto stale = writer_->ask(first_.lists(), now_);
  ASSERT_FALSE(stale);
  EXPECT_EQ(stale.why().code, errc::invalid_input);
}

TEST_F(PlacementWriter, LoadsNothingWhereOnlySharesChange) {
  begin();
  auto next = first_.lists();
  ++next.epoch;
  ASSERT_TRUE(writer_->ask(next, now_));
  EXPECT_EQ(todo(), "serve 0, serve 1, serve 2, publish 2");
}

TEST_F(PlacementWriter, LeavesTheOldOneIfSomebodyCannotLoad) {
  begin();
  ASSERT_TRUE(writer_->ask(moved(), now_));
  todo();
  step(1, slots_step::load, "no memory");
  EXPECT_EQ(todo(), "drop 1, abort");
  EXPECT_EQ(writer_->current().epoch(), 1u);
  step(1, slots_step::load);
  EXPECT_EQ(todo(), "") << "late";
  ASSERT_TRUE(writer_->ask(moved(), now_));
  writer_->stepped(1, 1, slots_step::load, "", now_);
  EXPECT_EQ(todo(), "load 1") << "of the change before";
}

TEST_F(PlacementWriter, DoesNotWaitForLoadingForEver) {
  begin();
  ASSERT_TRUE(writer_->ask(moved(), now_));
  todo();
  writer_->tick(now_ + 9s);
  EXPECT_EQ(todo(), "");
  writer_->tick(now_ + 10s);
  EXPECT_EQ(todo(), "drop 1, abort");
}

TEST_F(PlacementWriter, StepsHearInTimeThatLoadingTakesLongAndItGoesOn) {
  begin(1, placement_writer::patience_of_steps(8s));
  writer_->lost(3, now_);
  EXPECT_EQ(todo(), "load 0");
  writer_->tick(now_ + 3s);
  EXPECT_EQ(todo(), "");
  writer_->tick(now_ + 4s);
  EXPECT_EQ(todo(), "give up") << "in half of their time";
  writer_->tick(now_ + 9s);
  EXPECT_EQ(todo(), "") << "it is said once, and nothing is dropped";
  step(0, slots_step::load);
  EXPECT_EQ(todo(), "serve 0, serve 1, publish 2");
  EXPECT_EQ(writer_->current().num_waiting(), 0u);
}

TEST_F(PlacementWriter, WhatStepsDoNotWaitForMayTakeLong) {
  begin(1, 1s);
  ASSERT_TRUE(writer_->ask(moved(), now_));
  writer_->tick(now_ + 9s);
  EXPECT_EQ(todo(), "load 1");
  writer_->lost(3, now_ + 9s);
  EXPECT_EQ(todo(), "drop 1, abort, load 0");
  writer_->tick(now_ + 9s + 999ms);
  EXPECT_EQ(todo(), "") << "their time begins with the loss";
}

TEST_F(PlacementWriter, WhatTookTooLongIsNotBegunAgain) {
  begin(1, 4s);
  writer_->lost(3, now_);
  writer_->tick(now_ + 4s);
  EXPECT_EQ(todo(), "load 0, give up");
  writer_->tick(now_ + 10s);
  EXPECT_EQ(todo(), "drop 0, abort");
  writer_->tick(now_ + 1h);
  EXPECT_EQ(todo(), "");
  writer_->lost(2, now_ + 1h);
  EXPECT_EQ(todo(), "give up") << "two experts, one slot: who lost hears it";
}

TEST_F(PlacementWriter, EndsAChangeWhoseWorkerIsLostInTheOldPlacement) {
  begin(2);
  ASSERT_TRUE(writer_->ask(moved(), now_));
  todo();
  writer_->lost(2, now_); // with worker 1, which had expert 1 as well
  EXPECT_EQ(todo(), "abort, load 0");
  step(0, slots_step::load);
  EXPECT_EQ(todo(), "serve 0, serve 2, publish 2");
  EXPECT_EQ(writer_->current().num_waiting(), 0u);
}

TEST_F(PlacementWriter, LoadsTheLostFirst) {
  begin(2);
  ASSERT_TRUE(writer_->ask(moved(), now_));
  todo();
  writer_->lost(3, now_); // has no part in it, but was expert 2's only one
  EXPECT_EQ(todo(), "drop 1, abort, load 0");
}

TEST_F(PlacementWriter, WaitsForNobodyWhoIsLost) {
  begin(2);
  ASSERT_TRUE(writer_->ask(moved(), now_));
  todo();
  step(1, slots_step::load);
  todo();
  writer_->taken(0, 2, now_);
  writer_->lost(1, now_); // rank 1 and worker 0
  EXPECT_EQ(todo(), "retire 1, retire 2");
  step(1, slots_step::retire);
  writer_->lost(3, now_);
  EXPECT_EQ(todo(), "done, load 1") << "expert 2 is worker 2's no more";
}

/// Who hears of a loss hopes anew.
TEST_F(PlacementWriter, GivesUpAtEachLossWhereThereIsNoRoom) {
  begin(0);
  writer_->lost(3, now_);
  EXPECT_EQ(todo(), "give up");
  writer_->lost(3, now_);
  EXPECT_EQ(todo(), "");
  writer_->lost(2, now_);
  EXPECT_EQ(todo(), "give up");
}

TEST_F(PlacementWriter, GivesUpWhenLoadingFailsAgainAndAgain) {
  begin();
  writer_->lost(3, now_);
  EXPECT_EQ(todo(), "load 0");
  step(0, slots_step::load, "no file");
  EXPECT_EQ(todo(), "drop 0, abort, load 0");
  step(0, slots_step::load, "no file");
  EXPECT_EQ(todo(), "drop 0, abort, load 0");
  step(0, slots_step::load, "no file");
  EXPECT_EQ(todo(), "drop 0, abort, give up");
}

TEST_F(PlacementWriter, WhoIsBackHoldsWhatTheFirstPlacementSays) {
  begin(0);
  writer_->lost(2, now_);
  EXPECT_EQ(todo(), "give up");
  EXPECT_EQ(writer_->current().num_waiting(), 1u);
  writer_->back(2, now_);
  EXPECT_EQ(writer_->current().lists(), first_.lists());
  EXPECT_EQ(todo(), "");
  writer_->lost(2, now_);
  EXPECT_EQ(todo(), "give up") << "as at the first time";
  writer_->lost(3, now_);
  writer_->back(2, now_);
  EXPECT_EQ(writer_->current().lists(), first_.left_by({3}).lists());
}

TEST_F(PlacementWriter, ARepairIsNotNeededOnceWhoeverWasLostIsBack) {
  begin();
  writer_->lost(2, now_);
  EXPECT_EQ(todo(), "load 0");
  writer_->back(2, now_);
  EXPECT_EQ(todo(), "drop 0, abort");
  EXPECT_EQ(writer_->current().lists(), first_.lists());
  EXPECT_EQ(writer_->at(), phase::idle);
}

TEST_F(PlacementWriter, WhoIsBackWithoutWorkersDisturbsNoRepair) {
  begin();
  writer_->lost(0, now_); // a rank is all that it has
  writer_->lost(2, now_);
  EXPECT_EQ(todo(), "load 0");
  writer_->back(0, now_);
  EXPECT_EQ(todo(), "");
  step(0, slots_step::load);
  EXPECT_EQ(todo(), "serve 0, serve 2, publish 2");
  writer_->taken(1, 2, now_);
  EXPECT_EQ(todo(), "") << "and is waited for like others";
  writer_->taken(0, 2, now_);
  EXPECT_EQ(todo(), "retire 0, retire 2");
  for (worker_id w : {0, 2})
    step(w, slots_step::retire);
  EXPECT_EQ(todo(), "done") << "no change follows in which nothing changes";
}

/// Node 2 is lost, and what it had is elsewhere in epoch 2.
TEST_F(PlacementWriter, OnceThereWasAnotherPlacementWhoIsBackIsTakenIn) {
  begin();
  writer_->lost(2, now_);
  step(0, slots_step::load);
  take_all(2);
  step(0, slots_step::retire);
  step(2, slots_step::retire);
  todo();
  writer_->back(2, now_);
  EXPECT_EQ(todo(), "serve 1, load 1");
  EXPECT_EQ(writer_->current().epoch(), 2u);
  step(1, slots_step::load);
  auto serve = writer_->take_actions().at(1);
  EXPECT_EQ(serve.worker, 1u);
  EXPECT_EQ(serve.epoch, 3u);
  EXPECT_EQ(serve.slots, (std::vector<layer_slot>{{0, 0, 1}}))
    << "worker 0 has it";
  EXPECT_EQ(writer_->current().lists().replicas.size(), 3u);
  take_all(3);
  EXPECT_EQ(todo(), "retire 0, retire 1, retire 2");
  for (worker_id w : {0, 1, 2})
    step(w, slots_step::retire);
  EXPECT_EQ(todo(), "done");
  ASSERT_TRUE(writer_->ask(moved(), now_)) << "its slots are free";
  EXPECT_EQ(todo(), "load 1");
}

TEST_F(PlacementWriter, WhoIsBackServesAgainWithWhatNobodyElseHas) {
  begin();
  auto next = first_.lists();
  ++next.epoch; // other shares, say
  ASSERT_TRUE(writer_->ask(next, now_));
  take_all(2);
  for (worker_id w : {0, 1, 2})
    step(w, slots_step::retire);
  todo();
  writer_->lost(2, now_);
  EXPECT_EQ(todo(), "load 0");
  writer_->back(2, now_);
  EXPECT_EQ(todo(), "serve 1, drop 0, abort, load 1");
  step(1, slots_step::load);
  EXPECT_EQ(todo(), "serve 0, serve 1, serve 2, publish 3");
  EXPECT_EQ(writer_->current().num_waiting(), 0u);
  EXPECT_EQ(writer_->current().replicas_of(0, 1)[0].at, (slot_address{1, 0}));
}

TEST_F(PlacementWriter, WhoIsBackWaitsForTheChangeThatIsAskedFor) {
  begin(2);
  auto next = first_.lists();
  ++next.epoch;
  next.replicas.push_back({0, 0, {{2, 1}, 1}});
  next.replicas.push_back({0, 2, {{0, 1}, 1}});
  next.replicas.push_back({0, 1, {{0, 2}, 1}});
  ASSERT_TRUE(writer_->ask(next, now_));
  EXPECT_EQ(todo(), "load 0, load 2");
  writer_->lost(2, now_);
  EXPECT_EQ(todo(), "drop 0, drop 2, abort, load 0") << "expert 1 first";
  step(0, slots_step::load);
  take_all(2);
  for (worker_id w : {0, 2})
    step(w, slots_step::retire);
  todo();
  auto more = writer_->current().lists();
  ++more.epoch;
  more.replicas.push_back({0, 0, {{2, 1}, 1}});
  ASSERT_TRUE(writer_->ask(more, now_));
  EXPECT_EQ(todo(), "load 2");
  writer_->back(2, now_);
  EXPECT_EQ(todo(), "serve 1");
  step(2, slots_step::load);
  EXPECT_EQ(todo(), "serve 0, serve 1, serve 2, publish 3");
  take_all(3);
  for (worker_id w : {0, 1, 2})
    step(w, slots_step::retire);
  EXPECT_EQ(todo(), "retire 0, retire 1, retire 2, done, load 1");
}

TEST_F(PlacementWriter, WhoIsLostWhileItIsTakenInIsNotWaitedFor) {
  begin();
  writer_->lost(2, now_);
  step(0, slots_step::load);
  take_all(2);
  step(0, slots_step::retire);
  step(2, slots_step::retire);
  writer_->back(2, now_);
  todo();
  writer_->lost(2, now_);
  EXPECT_EQ(todo(), "abort");
  EXPECT_EQ(writer_->at(), phase::idle);
  writer_->back(2, now_);
  EXPECT_EQ(todo(), "serve 1, load 1");
}

/// As many wait as before, but others.
TEST_F(PlacementWriter, DoesNotGiveOneExpertForAnother) {
  begin(1);
  auto next = first_.lists();
  ++next.epoch;
  ASSERT_TRUE(writer_->ask(next, now_));
  take_all(2);
  for (worker_id w : {0, 1, 2})
    step(w, slots_step::retire);
  writer_->lost(2, now_);
  todo(); // worker 0 loads expert 1
  auto before = writer_->current();
  placement_lists other = before.lists();
  std::erase_if(other.replicas, [](auto& x) { return x.expert == 0; });
  other.replicas.push_back({0, 1, {{2, 1}, 1}});
  EXPECT_FALSE(check_coverage(before, *before.with(other)));
  EXPECT_TRUE(check_coverage(before, *before.with(before.lists())));
}
