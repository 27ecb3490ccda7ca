// A node is about to leave: what its workers hold goes to others.

#include "tests/unit/runtime/placement_writer_fixture.hpp"

using namespace troupe;

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
  writer_->stay(2, now_);
  EXPECT_TRUE(writer_->ask(back, now_));
}

TEST_F(PlacementWriter, WhoStaysWhileOthersLoadForItKeepsWhatItHas) {
  begin();
  ASSERT_TRUE(writer_->leave(3, now_));
  EXPECT_EQ(todo(), "load 0");
  writer_->stay(3, now_);
  EXPECT_EQ(todo(), "drop 0, abort");
  EXPECT_EQ(writer_->at(), phase::idle);
  EXPECT_EQ(writer_->current().lists(), first_.lists());
  ASSERT_TRUE(writer_->ask(moved(), now_)) << "others go on";
  writer_->stay(3, now_);
  EXPECT_EQ(writer_->at(), phase::loading) << "it is no change of a leaver";
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

/// Worker 0 has got what node 2 had and is full when expert 2 is lost.
TEST_F(PlacementWriter, WhoIsLeavingIsToStayWhereItsRoomIsNeeded) {
  begin(1);
  ASSERT_TRUE(writer_->leave(2, now_)); // with worker 1
  step(0, slots_step::load);
  go_through(2);
  writer_->lost(3, now_);
  EXPECT_EQ(todo(), "keep");
  EXPECT_EQ(writer_->leaving(), std::set<node_id>{2});
  writer_->stay(2, now_);
  EXPECT_EQ(todo(), "load 1");
  step(1, slots_step::load);
  EXPECT_EQ(todo(), "serve 0, serve 1, publish 3");
  EXPECT_EQ(writer_->current().num_waiting(), 0u);
}

TEST_F(PlacementWriter, ItsRoomMayBeNeededBeforeOthersHaveWhatItHad) {
  begin(1);
  give_worker_0_expert_1();
  ASSERT_TRUE(writer_->leave(2, now_));
  EXPECT_EQ(todo(), "load 2") << "so that two have it as before";
  writer_->lost(3, now_);
  EXPECT_EQ(todo(), "abort, keep");
  writer_->tick(now_ + 59s);
  EXPECT_EQ(todo(), "");
  writer_->tick(now_ + 1min);
  EXPECT_EQ(todo(), "give up") << "nobody has decided";
  writer_->stay(2, now_ + 1min);
  EXPECT_EQ(todo(), "load 1");
}

TEST_F(PlacementWriter, ThereAreAsManyReplicasAsBeforeOnceWhoWasToLeaveStays) {
  begin(1);
  give_worker_0_expert_1();
  auto next = writer_->current().lists();
  ++next.epoch;
  next.replicas.push_back({0, 1, {{2, 1}, 1}}); // all three have it
  ASSERT_TRUE(writer_->ask(next, now_));
  step(2, slots_step::load);
  go_through(3);
  ASSERT_TRUE(writer_->leave(2, now_));
  go_through(4);
  EXPECT_EQ(writer_->current().replicas_of(0, 1).size(), 2u);
  writer_->stay(1, now_);
  EXPECT_EQ(todo(), "") << "another one";
  writer_->stay(2, now_);
  EXPECT_EQ(todo(), "load 1");
}

/// Killed on its way out, and back before that is over: it holds what the first
/// placement says, until a change says otherwise that knows of it.
TEST_F(PlacementWriter, WhoIsBackBeforeItHasLeftKeepsWhatItHolds) {
  first_ = {1, 3, 3, {1, 2, 3}, 0, 1, 3, 3}; // each expert twice
  writer_ = std::make_unique<placement_writer>(
    first_, placement_writer::settings{{{0, 0}, {1, 1}}, 10s, 1min, {}});
  ASSERT_TRUE(writer_->leave(3, now_));
  EXPECT_EQ(todo(), "load 0, load 1");
  writer_->lost(3, now_);
  writer_->back(3, now_);
  EXPECT_EQ(todo(), "") << "the change goes on";
  step(0, slots_step::load);
  step(1, slots_step::load);
  for (auto& x : writer_->take_actions())
    EXPECT_TRUE(x.worker != 2 || x.slots.empty()) << text_of(x);
  EXPECT_EQ(writer_->current().epoch(), 2u);
  take_all(2);
  for (worker_id w = 0; w < 3; ++w)
    step(w, slots_step::retire);
  EXPECT_EQ(todo(), "retire 0, retire 1, retire 2, done, load 2") << "taken in";
}
