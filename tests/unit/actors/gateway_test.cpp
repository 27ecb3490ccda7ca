#include "tests/unit/actors/gateway_fixture.hpp"

using namespace troupe;

TEST_F(Gateway, GivesARequestToTheRankWithTheFewest) {
  for (request_id id = 1; id <= 5; ++id)
    accept(id);
  EXPECT_EQ(ids_of(near_->of<run_request>()), (ids{1, 4}));
  auto far = far_->of<run_request>();
  EXPECT_EQ(ids_of(far), (ids{2, 3, 5}));
  EXPECT_EQ(far[0].rank, 1);
  EXPECT_EQ(far[1].rank, 2);
  EXPECT_EQ(far[2].rank, 1);
  EXPECT_EQ(far[0].term, 1u);
  EXPECT_EQ(far[0].what->prompt, (std::vector<int32_t>{1, 2, 3}));
  answer(4, 0, {9}, finish_reason::stop);
  answer(1, 0, {9}, finish_reason::stop);
  accept(6);
  EXPECT_EQ(ids_of(near_->of<run_request>()), (ids{1, 4, 6}));
  EXPECT_EQ(figures().accepted, 6u);
  EXPECT_EQ(status_->prompt_tokens, 18u);
}

TEST_F(Gateway, GivesARequestToTheRankThatItAsksFor) {
  accept(1, 2);
  accept(2, 2);
  EXPECT_EQ(ids_of(far_->of<run_request>()), (ids{1, 2}));
  EXPECT_EQ(far_->of<run_request>()[1].rank, 2);
}

TEST_F(Gateway, HandsTokensOnUntilTheEnd) {
  accept(1);
  answer(1, 0, {5});
  answer(1, 1, {6, 7});
  EXPECT_EQ(end_of(1), "");
  EXPECT_EQ(figures().open, 1u);
  answer(1, 3, {8}, finish_reason::length);
  EXPECT_EQ(tokens_of(1), (std::vector<int32_t>{5, 6, 7, 8}));
  EXPECT_EQ(end_of(1), "well");
  EXPECT_EQ(figures().open, 0u);
  EXPECT_EQ(figures().finished, 1u);
  answer(1, 4, {9});
  EXPECT_EQ(events_[1].size(), 3u) << "nothing comes after the end";
}

TEST_F(Gateway, RefusesTokensOfAnotherTermOrThatItHas) {
  accept(1);
  answer(1, 0, {5});
  answer(1, 1, {6}, finish_reason::length, 0); // of an owner before this one
  answer(1, 1, {6}, finish_reason::length, 2);
  answer(1, 0, {5});
  EXPECT_EQ(tokens_of(1), std::vector<int32_t>{5});
  EXPECT_EQ(end_of(1), "");
  EXPECT_EQ(status_->events_refused, 2u);
  answer(1, 1, {7});
  EXPECT_EQ(tokens_of(1), (std::vector<int32_t>{5, 7}));
}

TEST_F(Gateway, EndsARequestOfWhichTokensWereLost) {
  accept(1);
  answer(1, 0, {5});
  answer(1, 2, {7}, finish_reason::length);
  EXPECT_EQ(end_of(1), "step_failed: tokens were lost on their way");
  EXPECT_EQ(tokens_of(1), std::vector<int32_t>{5});
  EXPECT_EQ(near_->of<cancel_request>().size(), 1u);
}

TEST_F(Gateway, IgnoresTokensOfNobody) {
  answer(99, 0, {1}, finish_reason::stop);
  EXPECT_TRUE(events_.empty());
  EXPECT_EQ(figures().finished, 0u);
}

TEST_F(Gateway, EndsACancelledRequestAtOnceAndTellsItsRank) {
  accept(1);
  accept(2);
  answer(2, 0, {5});
  say(gateway_, client_gone{2});
  EXPECT_EQ(end_of(2), "cancelled: the request was cancelled");
  EXPECT_EQ(events_[2].back().first_position, 1u);
  ASSERT_EQ(far_->of<cancel_request>().size(), 1u);
  EXPECT_EQ(far_->of<cancel_request>()[0].request, 2u);
  EXPECT_EQ(far_->of<cancel_request>()[0].rank, 1);
  EXPECT_EQ(far_->of<cancel_request>()[0].term, 1u);
  EXPECT_TRUE(near_->of<cancel_request>().empty());
  EXPECT_EQ(figures().cancelled, 1u);
  EXPECT_EQ(figures().open, 1u);
  answer(2, 1, {6});
  say(gateway_, client_gone{2});
  say(gateway_, client_gone{77});
  EXPECT_EQ(events_[2].size(), 2u);
  EXPECT_EQ(far_->of<cancel_request>().size(), 1u);
  EXPECT_EQ(end_of(1), "");
}

TEST_F(Gateway, RequestsOfALostRankGoOnElsewhereBehindWhatTheyHaveAnswered) {
  for (request_id id = 1; id <= 3; ++id)
    accept(id);
  answer(3, 0, {5});
  lose(1, "b");
  auto moved = near_->of<run_request>();
  ASSERT_EQ(ids_of(moved), (ids{1, 2, 3}));
  EXPECT_EQ(moved[2].term, 2u);
  EXPECT_EQ(moved[2].rank, 0);
  EXPECT_EQ(moved[2].answered, std::vector<int32_t>{5});
  EXPECT_EQ(moved[2].what->prompt, (std::vector<int32_t>{1, 2, 3}));
  EXPECT_EQ(status_->requests_moved, 2u);
  answer(3, 1, {9}, finish_reason::stop, 1); // of the dead one
  EXPECT_EQ(status_->events_refused, 0u);
  answer(3, 1, {6}, finish_reason::length, 2);
  EXPECT_EQ(tokens_of(3), (std::vector<int32_t>{5, 6}));
  EXPECT_EQ(end_of(3), "well");
  lose(1, "b");
  EXPECT_EQ(status_->requests_moved, 2u);
  EXPECT_EQ(figures().failed, 0u);
}

TEST_F(Gateway, WhatNobodyIsLeftForWaitsButNotForEver) {
  accept(1, 2);
  accept(2);
  lose(1, "b");
  lose(0, "a");
  EXPECT_EQ(end_of(1), "");
  EXPECT_EQ(end_of(2), "");
  wait_too_long();
  EXPECT_EQ(end_of(1), "peer_lost: node b was lost: it fell off the stage")
    << "it wanted no other";
  EXPECT_EQ(end_of(2), "peer_lost: node a was lost: it fell off the stage");
  EXPECT_EQ(figures().failed, 2u);
  EXPECT_FALSE(scheduler_.clock().has_pending_timeout())
    << "nobody is looked at";
}

TEST_F(Gateway, WhoWaitedGoesOnBehindWhatItHasOnceSomebodyIsBack) {
  say(gateway_, cluster_started{});
  accept(1, 2);
  accept(2, 2);
  answer(1, 0, {5});
  lose(1, "b");
  answer(1, 1, {6}); // of the one that is lost
  accept(3, 1);
  EXPECT_EQ(tokens_of(1), std::vector<int32_t>{5});
  auto before = far_->of<run_request>().size();
  EXPECT_EQ(before, 2u);
  come_back(1, "b");
  auto all = far_->of<run_request>();
  ASSERT_EQ(ids_of(all), (ids{1, 2, 1, 2, 3}));
  EXPECT_EQ(all[2].term, 2u);
  EXPECT_EQ(all[2].answered, std::vector<int32_t>{5});
  EXPECT_EQ(all[4].term, 1u);
  EXPECT_EQ(all[4].rank, 1);
  EXPECT_EQ(trouble(), "");
  answer(1, 1, {6}, finish_reason::length, 2);
  EXPECT_EQ(end_of(1), "well");
  wait_too_long();
  EXPECT_EQ(end_of(2), "");
}

TEST_F(Gateway, AClientMayGoWhileItsRequestWaits) {
  accept(1, 2);
  lose(1, "b");
  say(gateway_, client_gone{1});
  EXPECT_EQ(end_of(1), "cancelled: the request was cancelled");
  come_back(1, "b");
  EXPECT_EQ(far_->of<run_request>().size(), 1u);
}

TEST_F(Gateway, WhoCameBackGetsRequestsAndMayBeLostAgain) {
  lose(1, "b");
  come_back(1, "b");
  come_back(1, "b");
  for (request_id id = 1; id <= 3; ++id)
    accept(id);
  EXPECT_EQ(ids_of(far_->of<run_request>()), (ids{2, 3}));
  say(gateway_, node_lost{1, 201, "b", "it fell again"});
  EXPECT_EQ(ids_of(near_->of<run_request>()), (ids{1, 2, 3}));
  // Another process dies before it is back.
  say(gateway_, node_lost{1, 301, "b", "it fell on its way"});
  EXPECT_EQ(status_->requests_moved, 2u);
  std::lock_guard lock{status_->mutex};
  EXPECT_EQ(status_->nodes_came_back, 1u);
  EXPECT_EQ(status_->nodes_lost, 1u);
}

TEST_F(Gateway, AStepThatFailedForALostNodeIsNotTheEndOfItsRequests) {
  accept(1);
  auto event = std::make_shared<generation_event>();
  event->finish = finish_reason::failed;
  event->cause = failure{errc::peer_lost, "node c was lost"};
  say(gateway_, tokens_ready{1, 1, event});
  EXPECT_EQ(end_of(1), "");
  ASSERT_EQ(ids_of(near_->of<run_request>()), (ids{1}));
  ASSERT_EQ(ids_of(far_->of<run_request>()), (ids{1})) << "or to the same";
  for (uint32_t term = 2; term <= 17; ++term) {
    EXPECT_EQ(end_of(1), "") << term;
    say(gateway_, tokens_ready{1, term, event});
  }
  EXPECT_EQ(end_of(1), "peer_lost: node c was lost") << "not for ever";
}

TEST_F(Gateway, GivesNothingToALostNode) {
  lose(1, "b");
  for (request_id id = 1; id <= 3; ++id)
    accept(id);
  EXPECT_EQ(ids_of(near_->of<run_request>()), (ids{1, 2, 3}));
  EXPECT_TRUE(far_->of<run_request>().empty());
}

TEST_F(Gateway, DoesNotMindTheLossOfANodeThatHeldNothing) {
  accept(1);
  lose(3, "d");
  accept(2);
  EXPECT_EQ(end_of(1), "");
  EXPECT_EQ(end_of(2), "");
}

TEST_F(Gateway, SaysWhatTheTroubleIs) {
  EXPECT_EQ(trouble(), "the cluster is starting");
  say(gateway_, cluster_started{});
  EXPECT_EQ(trouble(), "");
  lose(3, "d");
  lose(1, "b");
  EXPECT_EQ(trouble(), "node b was lost: it fell off the stage; "
                       "node d was lost: it fell off the stage");
}

TEST_F(Gateway, KeepsTheLastReportOfEveryNode) {
  node_report report;
  report.node = 3;
  report.values[size_t(counter::steps)] = 5;
  say(gateway_, report);
  report.values[size_t(counter::steps)] = 6;
  say(gateway_, report);
  report.loads
    = std::make_shared<const part_loads>(part_loads{{}, {{1, 2, 3}}, {}});
  say(gateway_, report);
  auto loads = std::exchange(report.loads, nullptr);
  say(gateway_, report); // that were told the time before
  report.node = 4;
  say(gateway_, report);
  std::lock_guard lock{status_->mutex};
  ASSERT_EQ(status_->reports.size(), 4u);
  EXPECT_EQ(status_->reports[3].values[size_t(counter::steps)], 6u);
  EXPECT_EQ(status_->loads[3], loads);
}

TEST_F(Gateway, AddsWhatASuccessorCountsToWhatItsPredecessorsDid) {
  node_report report;
  report.node = 1;
  report.incarnation = 101;
  report.values[size_t(counter::steps)] = 5;
  report.values[size_t(counter::kv_blocks_total)] = 50;
  say(gateway_, report);
  lose(1, "b");
  auto late = report;
  report.incarnation = 201;
  report.values[size_t(counter::steps)] = 2;
  say(gateway_, report);
  come_back(1, "b");
  late.values[size_t(counter::steps)] = 6;
  say(gateway_, late);
  std::lock_guard lock{status_->mutex};
  EXPECT_EQ(status_->former[1].values[size_t(counter::steps)], 5u);
  EXPECT_EQ(status_->former[1].values[size_t(counter::kv_blocks_total)], 0u);
  EXPECT_EQ(status_->reports[1].values[size_t(counter::steps)], 2u);
  EXPECT_EQ(status_->reports[1].values[size_t(counter::kv_blocks_total)], 50u);
}

TEST_F(Gateway, WhatALostProcessHadIsGoneWhetherOrNotItWasBackYet) {
  auto has = [this](counter x) {
    std::lock_guard lock{status_->mutex};
    return status_->reports[3].values[size_t(x)];
  };
  node_report report;
  report.node = 3;
  for (uint64_t incarnation : {103, 203}) { // the second never serves
    report.incarnation = incarnation;
    for (auto x : {counter::slots_serving, counter::running, counter::steps})
      report.values[size_t(x)] = 7;
    say(gateway_, report);
    say(gateway_, node_lost{3, incarnation, "d", "it fell off the stage"});
    EXPECT_EQ(has(counter::slots_serving), 0u) << incarnation;
    EXPECT_EQ(has(counter::running), 0u) << incarnation;
    EXPECT_EQ(has(counter::steps), 7u) << "what it has done stays";
  }
}

/// It was in no view, so that its loss is nobody's.
TEST_F(Gateway, WhatAJoinerHadIsGoneWithIt) {
  node_report report;
  report.node = 3;
  report.incarnation = 203;
  report.values[size_t(counter::slots_serving)] = 7;
  say(gateway_, report);
  say(gateway_, process_over{3, 203});
  say(gateway_, report); // was on its way
  std::lock_guard lock{status_->mutex};
  EXPECT_EQ(status_->reports[3].values[size_t(counter::slots_serving)], 0u);
  EXPECT_EQ(status_->nodes_lost, 0u);
}

TEST_F(Gateway, LetsTheRanksGoOnceAllAreClosed) {
  for (request_id id = 1; id <= 3; ++id)
    accept(id);
  answer(3, 0, {5});
  status_->requests.close({errc::step_failed, "the stage is on fire"});
  say(gateway_, shut_down{});
  for (request_id id = 1; id <= 3; ++id)
    EXPECT_EQ(end_of(id), "step_failed: the stage is on fire");
  EXPECT_EQ(events_[3].back().first_position, 1u);
  EXPECT_EQ(near_->of<cancel_request>().size(), 1u);
  EXPECT_EQ(far_->of<cancel_request>().size(), 2u);
  answer(3, 1, {6});
  EXPECT_EQ(events_[3].size(), 2u);
}

TEST_F(Gateway, RunsNothingThatWasClosedOnItsWay) {
  auto what = std::make_shared<generation_request>();
  what->prompt = {1};
  auto id = status_->requests.open(
    [this](const generation_event& event) { events_[1].push_back(event); }, 1);
  ASSERT_TRUE(id);
  status_->requests.close({errc::cancelled, "the show is over"});
  say(gateway_, accept_request{*id, what});
  EXPECT_EQ(end_of(1), "cancelled: the show is over");
  EXPECT_TRUE(near_->of<run_request>().empty());
}
