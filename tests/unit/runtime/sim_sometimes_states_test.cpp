#include "runtime/sim/sometimes_states.hpp"

#include "runtime/sim/fault.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace {

using namespace troupe;

class SometimesStates : public testing::Test {
protected:
  void happen(trace_kind kind, node_id node = no_node, node_id peer = no_node) {
    states_.hear({.kind = kind, .node = node, .peer = peer});
  }

  void begin(fault_kind kind) {
    states_.hear({.kind = trace_kind::fault_began, .b = uint64_t(kind)});
  }

  void heal(fault_kind kind) {
    states_.hear({.kind = trace_kind::fault_healed, .b = uint64_t(kind)});
  }

  /// A slab of rows, or of answers, of one of a rank's dispatches.
  void pass(trace_kind kind, frame_class frame, node_id node, node_id peer,
            uint16_t rank, uint32_t serial, refusal why = {}) {
    states_.hear({.kind = kind,
                  .node = node,
                  .peer = peer,
                  .frame = frame,
                  .a = rows_id{rank, 0, serial}.pack(),
                  .b = uint64_t(why)});
  }

  void send_rows(node_id from, node_id to, uint16_t rank, uint32_t serial) {
    pass(trace_kind::frame_sent, frame_class::dispatch, from, to, rank, serial);
  }

  void answer(node_id from, node_id to, uint16_t rank, uint32_t serial) {
    pass(trace_kind::frame_arrived, frame_class::combine, to, from, rank,
         serial);
  }

  std::set<std::string> reached() const {
    std::set<std::string> out;
    for (size_t i = 0; i < num_sometimes; ++i)
      if (states_.has(sometimes(i)))
        out.emplace(to_string(sometimes(i)));
    return out;
  }

  using names = std::set<std::string>;

  sometimes_states states_{3};
};

} // namespace

TEST_F(SometimesStates, HaveNamesOfTheirOwn) {
  names all;
  for (size_t i = 0; i < num_sometimes; ++i)
    all.emplace(to_string(sometimes(i)));
  EXPECT_EQ(all.size(), num_sometimes);
}

TEST_F(SometimesStates, TellAWrongSuspicionFromALoss) {
  happen(trace_kind::node_started, 1);
  happen(trace_kind::node_ended, 1);
  happen(trace_kind::peer_lost, 0, 1);
  EXPECT_EQ(reached(), names{});
  happen(trace_kind::node_started, 2);
  happen(trace_kind::node_paused, 2);
  happen(trace_kind::peer_lost, 0, 2);
  happen(trace_kind::node_resumed, 2);
  EXPECT_EQ(reached(), names{"wrong_suspicion"});
  happen(trace_kind::peer_joined, 0, 1);
  EXPECT_EQ(reached(), (names{"wrong_suspicion", "peer_came_back"}));
}

TEST_F(SometimesStates, KnowAPauseThatNobodyMinded) {
  happen(trace_kind::node_started, 1);
  happen(trace_kind::node_paused, 1);
  EXPECT_EQ(reached(), names{});
  happen(trace_kind::node_resumed, 1);
  EXPECT_EQ(reached(), names{"pause_survived"});
}

TEST_F(SometimesStates, KnowWhoWasOpenMeanwhile) {
  happen(trace_kind::node_started, 1);
  happen(trace_kind::node_started, 2);
  happen(trace_kind::request_accepted);
  happen(trace_kind::request_ended);
  happen(trace_kind::node_ended, 1);
  EXPECT_EQ(reached(), names{});
  happen(trace_kind::request_accepted);
  happen(trace_kind::node_ended, 2);
  EXPECT_EQ(reached(), names{"killed_with_requests_open"});
}

TEST_F(SometimesStates, KnowFaultsTogetherAndFaultsAtRest) {
  happen(trace_kind::request_accepted);
  begin(fault_kind::cut);
  heal(fault_kind::cut);
  heal(fault_kind::kill);   // its process came back
  begin(fault_kind::reset); // over as it begins
  begin(fault_kind::cut);
  EXPECT_EQ(reached(), names{});
  begin(fault_kind::reset);
  EXPECT_EQ(reached(), names{"two_faults_at_once"});
  happen(trace_kind::request_ended);
  begin(fault_kind::kill);
  EXPECT_EQ(reached(), (names{"faults_while_idle", "two_faults_at_once"}));
}

TEST_F(SometimesStates, KnowWhoseRowsAreAway) {
  send_rows(1, 2, 0, 5);
  send_rows(1, 0, 0, 5);
  send_rows(0, 2, 1, 9);
  answer(2, 1, 0, 4); // of the dispatch before
  answer(2, 0, 1, 9);
  EXPECT_TRUE(states_.has_rows_away(1));
  EXPECT_FALSE(states_.has_rows_away(0));
  states_.cancelled(3);
  EXPECT_EQ(reached(), names{}) << "one rank has all, it may be that one's";
  send_rows(0, 2, 1, 10);
  states_.cancelled(0);
  EXPECT_EQ(reached(), names{}) << "it may not have begun";
  states_.cancelled(3);
  EXPECT_EQ(reached(), names{"cancelled_with_rows_away"});
  answer(0, 1, 0, 5);
  answer(2, 1, 0, 5);
  EXPECT_FALSE(states_.has_rows_away(1));
}

TEST_F(SometimesStates, KnowAnAnswerThatComesTwice) {
  auto refuse = [&](frame_class kind, refusal why) {
    pass(trace_kind::frame_refused, kind, 1, 2, 0, 5, why);
  };
  refuse(frame_class::dispatch, refusal::repeated);
  refuse(frame_class::combine, refusal::stale);
  EXPECT_EQ(reached(), names{});
  refuse(frame_class::combine, refusal::repeated);
  EXPECT_EQ(reached(), names{"duplicate_rows_refused"});
}

TEST_F(SometimesStates, IgnoreNodesThatTheyDoNotKnow) {
  happen(trace_kind::node_started, 7);
  happen(trace_kind::peer_lost, 0, 7);
  EXPECT_EQ(reached(), names{});
}

TEST(SometimesTally, NamesWhatNoRunHasReached) {
  sometimes_tally tally;
  EXPECT_EQ(tally.unreached().size(), num_sometimes);
  sometimes_states first{1}, second{1};
  first.reach(sometimes::preempted);
  first.reach(sometimes::preempted);
  second.reach(sometimes::preempted);
  second.reach(sometimes::stale_frame_refused);
  tally.add(first);
  tally.add(second);
  EXPECT_EQ(tally.count(sometimes::preempted), 2u);
  EXPECT_EQ(tally.count(sometimes::stale_frame_refused), 1u);
  auto left = tally.unreached();
  EXPECT_EQ(left.size(), num_sometimes - 2);
  EXPECT_EQ(std::count(left.begin(), left.end(), "preempted"), 0);
  EXPECT_EQ(std::count(left.begin(), left.end(), "stream_failed"), 1);
}
