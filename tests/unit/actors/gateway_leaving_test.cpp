// A node leaves whose ranks are at work.

#include "tests/unit/actors/gateway_fixture.hpp"

using namespace troupe;

namespace {

class GatewayLeaving : public Gateway {
protected:
  GatewayLeaving() {
    context_.here->update([this](cast_list& list) {
      list.controller = spawn_listener<controller>(told_);
    });
  }

  /// While somebody leaves the gateway looks after it again and again, also at
  /// the end of a test.
  ~GatewayLeaving() override {
    say(gateway_, node_leaving{1, "b", true});
  }

  void begin_to_leave() {
    say(gateway_, node_leaving{1, "b"});
  }

  leaving_progress progress() const {
    return told_->of<leaving_progress>().back();
  }

  uint64_t num_left() const {
    return progress().left;
  }

  void wait_a_while() {
    scheduler_.advance_time(std::chrono::milliseconds{250});
    scheduler_.run();
  }

  std::shared_ptr<heard<leaving_progress>> told_
    = std::make_shared<heard<leaving_progress>>();
};

} // namespace

TEST_F(GatewayLeaving, OthersGoOnBehindWhatIsCommitted) {
  accept(1);
  accept(2);
  answer(2, 0, {5});
  answer(2, 1, {6});
  ASSERT_EQ(ids_of(far_->of<run_request>()), (ids{2}));
  begin_to_leave();
  EXPECT_EQ(num_left(), 0u);
  auto gone = far_->of<cancel_request>();
  ASSERT_EQ(gone.size(), 1u);
  EXPECT_EQ(gone[0].request, 2u);
  EXPECT_EQ(gone[0].term, 1u);
  auto again = near_->of<run_request>().back();
  EXPECT_EQ(again.request, 2u);
  EXPECT_EQ(again.term, 2u);
  EXPECT_EQ(again.answered, (std::vector<int32_t>{5, 6}));
  answer(2, 2, {7}); // it has not heard yet
  EXPECT_EQ(tokens_of(2), (std::vector<int32_t>{5, 6}));
  answer(2, 2, {7}, finish_reason::length, 2);
  EXPECT_EQ(tokens_of(2), (std::vector<int32_t>{5, 6, 7}));
  EXPECT_EQ(end_of(2), "well");
}

TEST_F(GatewayLeaving, NewOnesAreGivenToOthers) {
  begin_to_leave();
  for (request_id id = 1; id <= 3; ++id)
    accept(id);
  EXPECT_EQ(ids_of(near_->of<run_request>()), (ids{1, 2, 3}));
  EXPECT_TRUE(far_->of<run_request>().empty());
}

TEST_F(GatewayLeaving, WhoWantsItsRankEndsThereAndNobodyBeginsThere) {
  accept(1, 2);
  begin_to_leave();
  EXPECT_EQ(num_left(), 1u);
  accept(2, 2);
  EXPECT_EQ(ids_of(far_->of<run_request>()), (ids{1})) << "2 waits";
  answer(1, 0, {5}, finish_reason::length);
  EXPECT_EQ(end_of(1), "well");
  wait_a_while();
  EXPECT_EQ(num_left(), 0u);
  lose(1, "b");
  wait_too_long();
  EXPECT_NE(end_of(2), "");
}

TEST_F(GatewayLeaving, WhoStaysGetsRequestsAgain) {
  begin_to_leave();
  accept(1, 2);
  EXPECT_TRUE(far_->of<run_request>().empty());
  say(gateway_, node_leaving{1, "b", true});
  EXPECT_EQ(ids_of(far_->of<run_request>()), (ids{1}));
  accept(2);
  accept(3);
  EXPECT_EQ(ids_of(far_->of<run_request>()), (ids{1, 3}));
}

TEST_F(GatewayLeaving, WhoHasLeftIsNotMissed) {
  say(gateway_, cluster_started{});
  begin_to_leave();
  say(gateway_, node_lost{1, 101, "b", "has left", true});
  EXPECT_EQ(trouble(), "");
  {
    std::lock_guard lock{status_->mutex};
    EXPECT_EQ(status_->nodes_lost, 0u);
    EXPECT_EQ(status_->nodes_left, 1u);
    EXPECT_TRUE(status_->left.contains(1));
    EXPECT_EQ(status_->refusal, "");
  }
  accept(1);
  EXPECT_EQ(ids_of(near_->of<run_request>()), (ids{1}));
  come_back(1, "b");
  accept(2);
  EXPECT_EQ(ids_of(far_->of<run_request>()), (ids{2}));
}

TEST_F(GatewayLeaving, IsLostLikeAnyOtherBeforeItHasLeft) {
  say(gateway_, cluster_started{});
  accept(1, 2);
  begin_to_leave();
  lose(1, "b");
  EXPECT_NE(trouble().find("node b was lost"), std::string::npos);
  come_back(1, "b");
  EXPECT_EQ(far_->of<run_request>().size(), 2u) << "1 goes on there";
  accept(2);
  accept(3);
  EXPECT_EQ(far_->of<run_request>().back().request, 3u)
    << "a successor is not about to leave";
}

TEST_F(GatewayLeaving, WorksOnWhenNobodyElseHasRanks) {
  begin_to_leave();
  lose(0, "a");
  accept(1);
  EXPECT_EQ(ids_of(far_->of<run_request>()), (ids{1}));
  EXPECT_EQ(end_of(1), "");
  wait_a_while();
  EXPECT_EQ(num_left(), 1u);
  come_back(0, "a");
  wait_a_while();
  EXPECT_EQ(num_left(), 0u);
  EXPECT_EQ(ids_of(near_->of<run_request>()), (ids{1}));
}

TEST_F(GatewayLeaving, IsNeededWhileNobodyElseHasRanks) {
  begin_to_leave();
  EXPECT_FALSE(progress().is_needed);
  EXPECT_TRUE(progress().lost.empty());
  lose(0, "a");
  wait_a_while();
  EXPECT_EQ(num_left(), 0u);
  EXPECT_TRUE(progress().is_needed);
  EXPECT_EQ(progress().lost, (lost_processes{{0, 100}}));
  come_back(0, "a");
  wait_a_while();
  EXPECT_FALSE(progress().is_needed);
  EXPECT_TRUE(progress().lost.empty());
}

/// It wants a rank of who is leaving, which has a setback.
TEST_F(GatewayLeaving, WhoHasBegunThereGoesOnThereAfterALossOfOthers) {
  accept(1, 2);
  answer(1, 0, {5});
  begin_to_leave();
  auto event = std::make_shared<generation_event>();
  event->first_position = 1;
  event->finish = finish_reason::failed;
  event->cause = failure{errc::peer_lost, "a worker was lost"};
  say(gateway_, tokens_ready{1, 1, event});
  ASSERT_EQ(ids_of(far_->of<run_request>()), (ids{1, 1}));
  EXPECT_EQ(far_->of<run_request>()[1].answered, std::vector<int32_t>{5});
  wait_a_while();
  EXPECT_EQ(num_left(), 1u);
  answer(1, 1, {6}, finish_reason::length, 2);
  EXPECT_EQ(end_of(1), "well");
  wait_a_while();
  EXPECT_EQ(num_left(), 0u);
}

TEST_F(GatewayLeaving, WhoWaitsSinceBeforeIsLeftAndWhoComesLateIsNot) {
  accept(1, 2);
  answer(1, 0, {5});
  lose(2, "c"); // with all experts
  accept(2, 2);
  begin_to_leave();
  EXPECT_EQ(num_left(), 2u);
  accept(3, 2);
  wait_a_while();
  EXPECT_EQ(num_left(), 2u);
  come_back(2, "c");
  EXPECT_EQ(ids_of(far_->of<run_request>()), (ids{1, 1, 2}));
  answer(1, 1, {6}, finish_reason::length, 2);
  say(gateway_, client_gone{2});
  wait_a_while();
  EXPECT_EQ(num_left(), 0u);
  say(gateway_, node_leaving{1, "b", true});
  EXPECT_EQ(ids_of(far_->of<run_request>()), (ids{1, 1, 2, 3}));
}

TEST_F(GatewayLeaving, ASuccessorThatWasNotBackIsNoLoss) {
  say(gateway_, cluster_started{});
  begin_to_leave();
  say(gateway_, node_lost{1, 101, "b", "has left", true});
  say(gateway_, node_lost{1, 201, "b", "it fell off the stage"});
  EXPECT_EQ(trouble(), "");
  std::lock_guard lock{status_->mutex};
  EXPECT_EQ(status_->nodes_lost, 0u);
  EXPECT_TRUE(status_->left.contains(1));
  EXPECT_EQ(status_->lost.at(1), "has left");
}

TEST_F(GatewayLeaving, OfASuccessorOfWhoWasLostTheNewestIsSaid) {
  say(gateway_, cluster_started{});
  lose(1, "b");
  say(gateway_, node_lost{1, 201, "b", "it stumbled"});
  EXPECT_EQ(trouble(), "node b was lost: it stumbled");
}

/// Who has left is not named where experts are waited for.
TEST_F(GatewayLeaving, WhatIsAwaitedIsAWholeSentence) {
  auto parts = std::make_shared<node_parts>();
  parts->maps = {placement{1, 2, 2, {2, 3}, 0, 1, 0, 1}};
  context_.here->update([&](cast_list& list) { list.parts = parts; });
  say(gateway_, cluster_started{});
  say(gateway_, node_lost{2, 102, "c", "has left", true});
  EXPECT_EQ(trouble(), "experts that were lost are being placed anew");
}

TEST_F(GatewayLeaving, WhoHasNotComeYetIsNotMissed) {
  say(gateway_, not_here(1, {"b", 0, {}}));
  say(gateway_, cluster_started{});
  EXPECT_EQ(trouble(), "");
  {
    std::lock_guard lock{status_->mutex};
    EXPECT_EQ(status_->nodes_lost, 0u);
    EXPECT_EQ(status_->nodes_left, 0u);
    EXPECT_EQ(status_->nodes_later, 1u);
    EXPECT_TRUE(status_->later.contains(1));
  }
  accept(1);
  accept(2);
  EXPECT_EQ(ids_of(near_->of<run_request>()), (ids{1, 2}));
  accept(3, 2); // on its rank alone
  EXPECT_TRUE(far_->of<run_request>().empty());
  come_back(1, "b");
  EXPECT_EQ(ids_of(far_->of<run_request>()), (ids{3}));
  std::lock_guard lock{status_->mutex};
  EXPECT_EQ(status_->nodes_later, 0u);
  EXPECT_EQ(status_->nodes_came_back, 0u) << "it was never there";
}
