#include "runtime/cluster/placement_writer.hpp"

#include <gtest/gtest.h>

using namespace troupe;
using namespace std::chrono_literals;

namespace {

using kind = writer_action::kind;
using phase = placement_writer::phase;

const char* name_of(slots_step x) {
  const char* names[] = {"load", "drop", "serve", "retire"};
  return names[size_t(x)];
}

std::string text_of(const writer_action& x) {
  switch (x.what) {
    case kind::instruct:
      return std::string{name_of(x.step)} + " " + std::to_string(x.worker);
    case kind::publish:
      return "publish " + std::to_string(x.epoch);
    case kind::done:
      return "done";
    case kind::abort:
      return "abort";
    case kind::give_up:
      return "give up";
  }
  return "?";
}

/// Two ranks on node 0 and 1; one MoE layer, three experts, three workers on
/// nodes 1, 2 and 3, each with `num_spare` slots to spare.
class PlacementWriter : public testing::Test {
protected:
  void begin(uint32_t num_spare = 1,
             clock::instant::duration patience_of_steps = 1min) {
    first_ = {1, 3, 3, {1, 2, 3}, 0, 1, 0, num_spare};
    writer_ = std::make_unique<placement_writer>(
      first_,
      placement_writer::settings{{{0, 0}, {1, 1}}, 10s, patience_of_steps});
  }

  /// What is to be done, in words.
  std::string todo() {
    std::string out;
    for (auto& x : writer_->take_actions())
      out += (out.empty() ? "" : ", ") + text_of(x);
    return out;
  }

  /// Expert 0 moves from worker 0 to worker 1.
  placement_lists moved() {
    auto out = writer_->current().lists();
    ++out.epoch;
    for (auto& x : out.replicas)
      if (x.expert == 0)
        x.replica.at = {1, 1};
    return out;
  }

  void step(worker_id worker, slots_step what, const std::string& why = "") {
    writer_->stepped(writer_->change(), worker, what, why, now_);
  }

  void take_all(uint32_t epoch) {
    writer_->taken(0, epoch, now_);
    writer_->taken(1, epoch, now_);
  }

  placement first_;
  std::unique_ptr<placement_writer> writer_;
  clock::instant now_{1h};
};

} // namespace

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

// -- leaving ------------------------------------------------------------------

TEST_F(PlacementWriter,
       GivesWhatALeavingNodeHasToOthersAndThenItsSlotsAreFree) {
  begin();
  auto begun = writer_->leave(3, now_);
  ASSERT_TRUE(begun) << begun.why().message;
  EXPECT_TRUE(*begun);
  EXPECT_EQ(todo(), "load 0");
  EXPECT_EQ(writer_->num_arriving(), 1u);
  EXPECT_EQ(writer_->num_arrived(), 0u);
  step(0, slots_step::load);
  EXPECT_EQ(writer_->num_arrived(), 1u);
  EXPECT_EQ(todo(), "serve 0, serve 1, serve 2, publish 2");
  take_all(2);
  for (worker_id w = 0; w < 3; ++w)
    step(w, slots_step::retire);
  EXPECT_EQ(todo(), "retire 0, retire 1, retire 2, done");
  writer_->lost(3, now_);
  EXPECT_EQ(todo(), "") << "nobody misses it";
  EXPECT_EQ(writer_->current().num_waiting(), 0u);
}

TEST_F(PlacementWriter, RefusesToLetGoOfWhatHasNoRoom) {
  begin(0);
  auto begun = writer_->leave(3, now_);
  ASSERT_FALSE(begun);
  EXPECT_EQ(begun.why().code, errc::refused);
  EXPECT_EQ(todo(), "");
  EXPECT_EQ(writer_->current().lists(), first_.lists());
}

TEST_F(PlacementWriter, PlacesNothingOnWhoIsLeaving) {
  begin(2);
  ASSERT_TRUE(writer_->ask(moved(), now_));
  EXPECT_EQ(writer_->leave(2, now_).why().code, errc::overloaded);
  begin(2);
  ASSERT_TRUE(writer_->leave(2, now_)); // with worker 1
  todo();
  writer_->lost(1, now_);
  EXPECT_EQ(todo(), "abort, load 2") << "expert 0, and not at worker 1";
  step(2, slots_step::load);
  take_all(2);
  step(1, slots_step::retire);
  step(2, slots_step::retire);
  todo();
  auto back = writer_->current().lists();
  ++back.epoch;
  back.replicas.push_back({0, 0, {{1, 2}, 1}});
  EXPECT_EQ(writer_->ask(back, now_).why().message,
            "the node of worker 1 is leaving");
  writer_->stay(2);
  EXPECT_TRUE(writer_->ask(back, now_));
}

TEST_F(PlacementWriter, WhoHasLeftMayComeBack) {
  begin(3);
  ASSERT_TRUE(writer_->leave(3, now_));
  step(0, slots_step::load);
  take_all(2);
  for (worker_id w = 0; w < 3; ++w)
    step(w, slots_step::retire);
  writer_->lost(3, now_);
  todo();
  writer_->back(3, now_);
  EXPECT_EQ(todo(), "serve 2, load 2");
  step(2, slots_step::load);
  EXPECT_EQ(todo(), "serve 0, serve 1, serve 2, publish 3");
  EXPECT_EQ(writer_->current().num_waiting(), 0u);
  take_all(3);
  for (worker_id w = 0; w < 3; ++w)
    step(w, slots_step::retire);
  EXPECT_EQ(todo(), "retire 0, retire 1, retire 2, done");
  EXPECT_TRUE(writer_->leave(1, now_)) << "it has room for others now";
}
