#include "runtime/sim/run_checks.hpp"

#include <gtest/gtest.h>

namespace {

using namespace troupe;
using namespace std::chrono_literals;

generation_event tokens(uint32_t first, std::vector<int32_t> ids,
                        finish_reason finish = finish_reason::none) {
  generation_event x;
  x.first_position = first;
  x.tokens = std::move(ids);
  x.finish = finish;
  return x;
}

generation_event failed(errc code) {
  generation_event x;
  x.finish = finish_reason::failed;
  x.cause = failure{code, "node worker-1 is lost"};
  return x;
}

/// A run of two nodes and three requests; request 0 should give 7, 8, 9.
class RunChecks : public testing::Test {
protected:
  RunChecks() {
    checks_.expect(0, {{7, 8, 9}, finish_reason::length});
    checks_.expect_refusal(2);
    checks_.set_now(world_begin);
  }

  void accept(uint32_t request) {
    checks_.asked(request);
    checks_.accepted(request);
  }

  void begin(fault_kind kind, virtual_duration lasts = 0s) {
    fault x;
    x.kind = kind;
    x.node = "worker-1";
    x.lasts = x.extra = lasts;
    checks_.fault_began(x);
  }

  /// Exactly this has been said so far, and is struck.
  void expect_only(const std::string& sentence) {
    ASSERT_EQ(checks_.violations().size(), 1u)
      << (checks_.holds() ? "" : to_string(checks_.violations().back()));
    EXPECT_EQ(to_string(checks_.violations().front()), sentence);
  }

  run_checks checks_{2, 3, 1s};
};

} // namespace

TEST_F(RunChecks, HoldWhereAllIsWell) {
  accept(0);
  checks_.owned(0, 3, 1);
  checks_.heard(0, tokens(0, {7}));
  accept(1);
  checks_.heard(0, tokens(1, {8, 9}, finish_reason::length));
  checks_.cancel_asked(1);
  checks_.heard(1, failed(errc::cancelled));
  checks_.asked(2);
  checks_.refused(2, {errc::invalid_input, "token 9 is no token"});
  checks_.view_seen(0, 1, 1);
  checks_.view_seen(0, 2, 1);
  checks_.view_seen(1, 1, 1);
  checks_.queue_seen(0, "the mailbox", 10, 10);
  checks_.resource_seen(0, "KV blocks", 3, 5, 8);
  checks_.resource_at_rest(0, "KV blocks", 8, 8);
  checks_.frame_damaged(0, true);
  checks_.stream_failed(0, true, "told to");
  checks_.node_ended(1);
  checks_.finish();
  EXPECT_TRUE(checks_.holds()) << to_string(checks_.violations().front());
}

TEST_F(RunChecks, I1FindsWhoNeverEnds) {
  accept(0);
  checks_.set_now(world_begin + 3s);
  checks_.finish();
  expect_only("I1: request 0 was asked 3s ago and has never ended");
}

TEST_F(RunChecks, I1FindsWhoIsNeverAnswered) {
  checks_.asked(1);
  checks_.finish();
  expect_only("I1: request 1 was asked, and neither accepted nor refused");
}

TEST_F(RunChecks, I1FindsAnErrorThatNoFaultExplains) {
  begin(fault_kind::duplicate, 10s);
  begin(fault_kind::replay, 10s);
  begin(fault_kind::client_slow, 10s);
  begin(fault_kind::client_vanish);
  begin(fault_kind::pause, 999ms);
  accept(0);
  checks_.heard(0, failed(errc::peer_lost));
  expect_only("I1: request 0 ended with peer_lost, and no fault can have cost "
              "a node: node worker-1 is lost");
}

/// Node 0 is the front, 1 and 2 have a rank each, 3 has workers.
class RunChecksWithNeeds : public testing::Test {
protected:
  RunChecksWithNeeds() {
    checks_.set_needs(
      {{{}, {0}, {1}, {}}, [](auto, auto& lost) { return !lost.contains(3); }});
    checks_.set_now(world_begin);
    checks_.harm_done();
    for (uint32_t i = 0; i < 2; ++i) {
      checks_.asked(i);
      checks_.accepted(i);
      checks_.owned(i, i, 1);
    }
  }

  std::string first_sentence() const {
    return checks_.holds() ? "" : to_string(checks_.violations().front());
  }

  run_checks checks_{4, 2, 1s};
};

TEST_F(RunChecksWithNeeds, I1FindsAnErrorThatOthersCouldHaveMadeUpFor) {
  checks_.node_lost(1);
  checks_.heard(0, failed(errc::peer_lost));
  EXPECT_EQ(first_sentence(), "I1: request 0 ended, and others could have gone "
                              "on with it: node worker-1 is lost");
}

TEST_F(RunChecksWithNeeds, I1AllowsErrorsForTheLossOfAllRanksOrOfAnyWorker) {
  checks_.node_lost(1);
  checks_.node_lost(2);
  checks_.heard(0, failed(errc::peer_lost));
  EXPECT_EQ(first_sentence(), "");
  checks_.node_began(0);
  checks_.node_lost(3);
  checks_.heard(1, failed(errc::peer_lost));
  EXPECT_EQ(first_sentence(), "");
}

TEST_F(RunChecksWithNeeds,
       I1AllowsErrorsOfWhoWantedALostRankAndOfTheFrontsEnd) {
  checks_.expect_rank(0, 0);
  checks_.node_lost(1);
  checks_.heard(0, failed(errc::peer_lost));
  EXPECT_EQ(first_sentence(), "");
  checks_.node_ended(0);
  checks_.heard(1, failed(errc::peer_lost));
  EXPECT_EQ(first_sentence(), "");
}

TEST_F(RunChecksWithNeeds, I1FindsAnErrorOfWhoCouldGoOnWithASuccessor) {
  checks_.node_lost(3);
  checks_.node_back(3);
  checks_.heard(0, failed(errc::peer_lost));
  EXPECT_EQ(first_sentence(), "I1: request 0 ended, and others could have gone "
                              "on with it: node worker-1 is lost");
}

TEST_F(RunChecksWithNeeds, I10FindsWhoIsBackWithoutALoss) {
  checks_.node_back(3);
  EXPECT_EQ(first_sentence(), "I10: node 3 is back, and was not lost");
}

TEST_F(RunChecksWithNeeds, I1AllowsQuarantineFromTheSecondRankOn) {
  checks_.owned(0, 1, 2);
  checks_.heard(0, failed(errc::quarantined));
  EXPECT_EQ(first_sentence(), "");
  checks_.heard(1, failed(errc::quarantined));
  EXPECT_EQ(first_sentence(), "I1: request 1 is quarantined, and has had one "
                              "rank: node worker-1 is lost");
}

TEST_F(RunChecks, I1AllowsErrorsOnceAFaultMayHaveCostANode) {
  for (auto kind : {fault_kind::kill, fault_kind::pause, fault_kind::cut,
                    fault_kind::cut_oneway, fault_kind::clog, fault_kind::delay,
                    fault_kind::rate, fault_kind::slow}) {
    run_checks checks{2, 1, 1s};
    fault x;
    x.kind = kind;
    x.lasts = x.extra = form_of(kind).lasts ? 1s : 0s;
    checks.fault_began(x);
    checks.asked(0);
    checks.heard(0, failed(errc::peer_lost));
    checks.finish();
    EXPECT_TRUE(checks.holds()) << form_of(kind).name;
  }
  begin(fault_kind::pause, 400ms); // several short ones may follow each other
  begin(fault_kind::cut, 600ms);
  accept(0);
  checks_.heard(0, failed(errc::peer_lost));
  EXPECT_TRUE(checks_.holds());
}

TEST_F(RunChecks, I1AllowsErrorsForWhatDependsOnItsTargetOnceItHasHit) {
  for (auto kind : {fault_kind::reset, fault_kind::corrupt,
                    fault_kind::alloc_fail, fault_kind::device_fail}) {
    begin(kind);
    EXPECT_FALSE(checks_.may_have_lost_a_node()) << form_of(kind).name;
  }
  checks_.harm_done();
  EXPECT_TRUE(checks_.may_have_lost_a_node());
}

TEST_F(RunChecks, I1AllowsErrorsWithoutAFaultToNobodyHoweverImpatient) {
  run_checks checks{2, 1, 0s};
  checks.asked(0);
  checks.heard(0, failed(errc::peer_lost));
  EXPECT_FALSE(checks.holds());
}

TEST_F(RunChecks, I1KnowsThatWhatBeganUnderAHugeFactorOutlivesTheFault) {
  fault x;
  x.kind = fault_kind::slow;
  x.lasts = 1ms;
  x.factor = 100;
  checks_.fault_began(x);
  EXPECT_FALSE(checks_.may_have_lost_a_node());
  x.factor = 1e6;
  checks_.fault_began(x);
  EXPECT_TRUE(checks_.may_have_lost_a_node());
}

TEST_F(RunChecks, I1AllowsAStepToFailByItsDeviceAlone) {
  begin(fault_kind::cut, 2s);
  accept(0);
  checks_.heard(0, failed(errc::step_failed));
  expect_only("I1: request 0 ended with step_failed, and no device has failed: "
              "node worker-1 is lost");
  begin(fault_kind::device_fail);
  checks_.stream_failed(1, true, "told to");
  accept(1);
  checks_.heard(1, failed(errc::step_failed));
  EXPECT_EQ(checks_.num_violations(), 1u);
}

TEST_F(RunChecks, I1AllowsAClientToGoBeforeItHasAsked) {
  checks_.asked(0);
  checks_.cancel_asked(0);
  checks_.refused(0, {errc::cancelled, "the client has gone"});
  EXPECT_TRUE(checks_.holds());
  checks_.asked(1);
  checks_.refused(1, {errc::cancelled, "the client has gone"});
  EXPECT_FALSE(checks_.holds());
}

TEST_F(RunChecks, I1FindsACancellationThatNobodyAskedFor) {
  begin(fault_kind::kill);
  accept(0);
  checks_.heard(0, failed(errc::cancelled));
  expect_only("I1: request 0 ended as cancelled, and nobody has cancelled it");
}

TEST_F(RunChecks, I1FindsAFailureWithoutAWord) {
  begin(fault_kind::kill);
  accept(0);
  auto x = failed(errc::peer_lost);
  x.cause.reset();
  checks_.heard(0, x);
  expect_only("I1: request 0 failed and does not say why");
}

TEST_F(RunChecks, I1FindsARefusalAfterAcceptance) {
  accept(0);
  checks_.refused(0, {errc::overloaded, "full"});
  expect_only("I1: request 0 was refused after it was accepted: full");
}

TEST_F(RunChecks, I1FindsALossBeforeAnyFault) {
  checks_.asked(0);
  checks_.refused(0, {errc::peer_lost, "worker-1 is lost"});
  expect_only("I1: request 0 was refused with peer_lost, and no fault can have "
              "cost a node: worker-1 is lost");
}

TEST_F(RunChecks, I2FindsAnotherToken) {
  accept(0);
  checks_.heard(0, tokens(0, {7, 5}));
  expect_only("I2: request 0 gives token 5 at position 1, and the plain path "
              "gives 8");
}

TEST_F(RunChecks, I2FindsTooManyAndTooFew) {
  accept(0);
  checks_.heard(0, tokens(0, {7, 8}, finish_reason::length));
  expect_only("I2: request 0 is complete with 2 tokens, and the plain path "
              "gives 3");
  run_checks more{2, 1, 1s};
  more.expect(0, {{7}, finish_reason::stop});
  more.asked(0);
  more.accepted(0);
  more.heard(0, tokens(0, {7, 8}));
  ASSERT_FALSE(more.holds());
  EXPECT_EQ(to_string(more.violations()[0]),
            "I2: request 0 gives a token at position 1, and the plain path "
            "gives 1");
}

TEST_F(RunChecks, I2FindsAnotherEnd) {
  accept(0);
  checks_.heard(0, tokens(0, {7, 8, 9}, finish_reason::stop));
  expect_only("I2: request 0 ends by its end token, and the plain path does "
              "not");
}

TEST_F(RunChecks, I2HoldsForWhatWasGivenBeforeAnError) {
  begin(fault_kind::kill);
  accept(0);
  checks_.heard(0, tokens(0, {7, 8}));
  checks_.heard(0, failed(errc::peer_lost));
  checks_.finish();
  EXPECT_TRUE(checks_.holds());
}

TEST_F(RunChecks, I3FindsDuplicatesAndGaps) {
  accept(1);
  checks_.heard(1, tokens(0, {1, 2}));
  checks_.heard(1, tokens(1, {2}));
  expect_only("I3: request 1 gives position 1 twice");
  checks_.heard(1, tokens(3, {4}));
  ASSERT_EQ(checks_.num_violations(), 2u);
  EXPECT_EQ(to_string(checks_.violations()[1]),
            "I3: request 1 gives position 3 after it has given 2");
}

TEST_F(RunChecks, I3FindsWhatComesAfterTheEnd) {
  accept(1);
  checks_.heard(1, tokens(0, {1}, finish_reason::stop));
  checks_.heard(1, tokens(1, {}, finish_reason::stop));
  expect_only("I3: request 1 is heard of after its end");
}

TEST_F(RunChecks, I3FindsWhatWasNeverAccepted) {
  checks_.heard(1, tokens(0, {1}));
  expect_only("I3: request 1 is heard of and was not accepted");
}

TEST_F(RunChecks, I4FindsAStaleTermAndTwoOwners) {
  accept(1);
  checks_.owned(1, 0, 1);
  checks_.owned(1, 2, 2);
  checks_.owned(1, 3, 2);
  expect_only("I4: ranks 2 and 3 both own request 1 in term 2");
  checks_.owned(1, 0, 1);
  ASSERT_EQ(checks_.num_violations(), 2u);
  EXPECT_EQ(to_string(checks_.violations()[1]),
            "I4: request 1 goes to rank 0 in term 1, and its term is 2");
}

TEST_F(RunChecks, I4FindsWhatTheGatewayHasNotLetIn) {
  checks_.events_refused(0);
  EXPECT_TRUE(checks_.holds());
  checks_.events_refused(2);
  expect_only("I4: ranks have said 2 events twice, out of turn or of requests "
              "of others");
}

TEST_F(RunChecks, I6FindsAWriteToABlockThatIsFree) {
  checks_.block_written(1, 3, true);
  EXPECT_TRUE(checks_.holds());
  checks_.block_written(1, 4, false);
  expect_only("I6: a rank of node 1 writes to cache block 4, which is free");
}

TEST_F(RunChecks, I6FindsDamageThatNoFaultHasDone) {
  begin(fault_kind::kill);
  checks_.frame_damaged(1, false);
  expect_only("I6: node 1 got a damaged frame, and no fault damaged it");
  checks_.stream_failed(1, false, "a number that is none");
  EXPECT_EQ(to_string(checks_.violations()[1]),
            "I6: a stream of node 1 failed, and no fault explains it: a number "
            "that is none");
}

TEST_F(RunChecks, I7FindsAViewThatGoesBackAlsoAfterARestart) {
  checks_.view_seen(1, 3, 2);
  checks_.node_began(1);
  checks_.view_seen(1, 2, 2);
  expect_only("I7: node 1 goes back from view 3 to 2");
}

TEST_F(RunChecks, I7FindsAViewThatWasNotKept) {
  checks_.view_judged(1, 3, 4, true);
  checks_.view_judged(1, 4, 3, true);
  expect_only("I7: node 1 knows view 4, and the last one kept is 3");
}

TEST_F(RunChecks, I7FindsAViewOfOthers) {
  checks_.view_judged(1, 3, 3, false);
  expect_only("I7: node 1 was told of view 3, in which it is absent");
}

TEST_F(RunChecks, I7FindsAnEpochThatGoesBack) {
  checks_.view_seen(1, 3, 2);
  checks_.view_seen(0, 3, 1);
  checks_.view_seen(1, 4, 1);
  expect_only("I7: node 1 goes back from epoch 2 to 1");
}

TEST_F(RunChecks, I7FindsAProcessThatComesBack) {
  checks_.incarnation_seen(0, 1, 77);
  checks_.incarnation_seen(0, 1, 77);
  checks_.incarnation_seen(0, 1, 55);
  EXPECT_TRUE(checks_.holds());
  checks_.incarnation_seen(0, 1, 77);
  expect_only("I7: node 0 goes back to a process of node 1 that is over for "
              "it: 77");
}

TEST_F(RunChecks, I7LetsANewProcessMeetWhomTheOldOneGaveUp) {
  checks_.incarnation_seen(0, 1, 77);
  checks_.incarnation_over(0, 1, 77);
  checks_.node_began(0);
  checks_.incarnation_seen(0, 1, 77);
  EXPECT_TRUE(checks_.holds());
  checks_.incarnation_over(0, 1, 77);
  checks_.incarnation_seen(0, 1, 77);
  EXPECT_FALSE(checks_.holds());
}

TEST_F(RunChecks, I8FindsWhatIsMissing) {
  checks_.resource_seen(1, "KV blocks", 3, 4, 8);
  expect_only("I8: KV blocks of node 1: 3 are free and 4 in use, of 8");
  checks_.resource_at_rest(1, "slabs", 7, 8);
  EXPECT_EQ(to_string(checks_.violations()[1]),
            "I8: slabs of node 1: 7 of 8 are free at rest");
}

TEST_F(RunChecks, I9FindsAQueueWithoutLimit) {
  checks_.queue_seen(1, "the queue of rows", 1025, 1024);
  expect_only("I9: the queue of rows of node 1 holds 1025, its limit is 1024");
}

TEST_F(RunChecks, I11FindsBadInputThatIsTaken) {
  accept(2);
  expect_only("I11: request 2 makes no sense and was accepted");
}

TEST_F(RunChecks, I11FindsAWrongRefusal) {
  checks_.asked(0);
  checks_.refused(0, {errc::invalid_input, "no"});
  expect_only("I11: request 0 makes sense and was refused with invalid_input: "
              "no");
  checks_.asked(2);
  checks_.refused(2, {errc::overloaded, "full"});
  EXPECT_EQ(to_string(checks_.violations()[1]),
            "I11: request 2 makes none and was refused with overloaded: full");
}

TEST_F(RunChecks, I11LetsBadInputBeRefusedUnreadOnceANodeIsLost) {
  checks_.asked(2);
  checks_.refused(2, {errc::peer_lost, "nobody answers"});
  expect_only("I1: request 2 was refused with peer_lost, and no fault can have "
              "cost a node: nobody answers");
  run_checks checks{2, 1, 1s};
  checks.expect_refusal(0);
  checks.harm_done();
  checks.asked(0);
  checks.refused(0, {errc::peer_lost, "nobody answers"});
  EXPECT_TRUE(checks.holds());
}

TEST_F(RunChecks, I11FindsANodeThatEndsByItself) {
  checks_.node_ended(1);
  expect_only("I11: node 1 has ended, and no fault wanted it");
}

TEST_F(RunChecks, I11AllowsTheEndOfWhoWasToldToOnce) {
  checks_.node_ended(1, true);
  EXPECT_TRUE(checks_.holds());
  EXPECT_FALSE(checks_.may_have_lost_a_node()) << "requests go on";
  checks_.node_ended(1);
  expect_only("I11: node 1 has ended, and no fault wanted it");
}

TEST_F(RunChecks, I12ComparesTwoRuns) {
  EXPECT_FALSE(compare_traces(5, 5));
  auto x = compare_traces(0xab, 0xcd);
  ASSERT_TRUE(x);
  EXPECT_EQ(to_string(*x), "I12: two runs of one seed have the traces ab and "
                           "cd");
  EXPECT_EQ(x->at, world_begin);
}

TEST_F(RunChecks, KeepTheFirstAndCountTheOthers) {
  for (uint32_t i = 0; i < 100; ++i) {
    checks_.set_now(world_begin + std::chrono::seconds{i});
    checks_.queue_seen(0, "q", i + 1, 0);
  }
  EXPECT_EQ(checks_.num_violations(), 100u);
  ASSERT_EQ(checks_.violations().size(), run_checks::max_kept);
  EXPECT_EQ(checks_.violations()[3].at, world_begin + 3s);
}
