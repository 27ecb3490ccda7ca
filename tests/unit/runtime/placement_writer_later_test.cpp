// Nodes that come later: the cluster has begun without them.

#include "tests/unit/runtime/placement_writer_fixture.hpp"

#include <algorithm>

using namespace troupe;

namespace {

std::vector<worker_id> holders(const placement& x, uint32_t expert) {
  std::vector<worker_id> out;
  for (auto& r : x.replicas_of(0, expert))
    out.push_back(r.at.worker);
  return out;
}

using workers = std::vector<worker_id>;

} // namespace

TEST_F(PlacementWriter, NobodyMissesWhoComesLater) {
  begin_without_last();
  EXPECT_EQ(writer_->current().num_waiting(), 0u);
  for (uint32_t e = 0; e < 3; ++e)
    EXPECT_TRUE(std::ranges::count(holders(writer_->current(), e), 2) == 0);
  writer_->lost(3, now_); // as everybody hears at the start
  writer_->tick(now_ + 1h);
  EXPECT_EQ(todo(), "") << "what it has in the first placement is not repaired";
}

TEST_F(PlacementWriter, WhoComesLaterTakesPartAtOnceInTheFirstPlacement) {
  begin_without_last();
  writer_->back(3, now_);
  EXPECT_EQ(todo(), "");
  EXPECT_EQ(writer_->current().lists(), first_.lists());
}

TEST_F(PlacementWriter, WhoComesLaterGetsItsPartOfAnotherPlacement) {
  begin_without_last();
  auto next = writer_->current().lists();
  ++next.epoch;
  next.replicas.push_back({0, 2, {{0, 2}, 1}});
  ASSERT_TRUE(writer_->ask(next, now_));
  EXPECT_EQ(todo(), "load 0");
  step(0, slots_step::load);
  take_all(2);
  step(0, slots_step::retire);
  step(1, slots_step::retire);
  EXPECT_EQ(todo(), "serve 0, serve 1, publish 2, retire 0, retire 1, done");
  writer_->back(3, now_);
  EXPECT_EQ(todo(), "serve 2, load 2");
  step(2, slots_step::load);
  EXPECT_EQ(todo(), "serve 0, serve 1, serve 2, publish 3");
  auto held = first_.experts_of(2)[0];
  ASSERT_EQ(held.size(), 2u);
  for (auto e : held)
    EXPECT_TRUE(std::ranges::count(holders(writer_->current(), e), 2) == 1)
      << e;
  EXPECT_EQ(holders(writer_->current(), 2).front(), 0);
}

TEST_F(PlacementWriter, WhoComesLaterWhileOthersLoadGetsItsPartToo) {
  begin_without_last();
  auto next = writer_->current().lists();
  ++next.epoch;
  next.replicas.push_back({0, 2, {{0, 2}, 1}});
  ASSERT_TRUE(writer_->ask(next, now_));
  writer_->back(3, now_);
  step(0, slots_step::load);
  take_all(2);
  for (worker_id w = 0; w < 3; ++w)
    step(w, slots_step::retire);
  todo();
  step(2, slots_step::load);
  take_all(3);
  for (worker_id w = 0; w < 3; ++w)
    step(w, slots_step::retire);
  auto held = first_.experts_of(2)[0];
  ASSERT_EQ(held.size(), 2u);
  for (auto e : held)
    EXPECT_TRUE(std::ranges::count(holders(writer_->current(), e), 2) == 1)
      << e;
}

TEST_F(PlacementWriter, WhatIsWantedOfALostOneThatCameLaterIsRepaired) {
  begin_without_last();
  writer_->back(3, now_);
  writer_->lost(3, now_);
  EXPECT_NE(todo(), "") << "from now on it is missed";
}
