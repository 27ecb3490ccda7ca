#include "runtime/cluster/node_drain.hpp"

#include "runtime/topology_shorthand.hpp"

#include <gtest/gtest.h>

using namespace troupe;
using namespace std::chrono_literals;

namespace {

using order = node_drain::order;
using orders = std::vector<order>;

/// Ranks on "a" and "b", workers on "c", and all serve.
class NodeDrain : public testing::Test {
protected:
  NodeDrain() {
    cluster_.nodes = {{"a", "127.0.0.1", true, true, false, {0}, {}},
                      {"b", "127.0.0.1", false, false, false, {1}, {}},
                      {"c", "127.0.0.1", false, false, false, {}, {0, 1}}};
  }

  void start() {
    for (node_id n = 0; n < 3; ++n) {
      who_.joined(n, {cluster_.nodes[n].name, 100u + n, {"127.0.0.1", 9}});
      who_.loaded(n);
    }
    ASSERT_TRUE(who_.take_view());
    for (node_id n = 0; n < 3; ++n)
      who_.connected(n, 1);
    ASSERT_TRUE(who_.take_start());
  }

  std::string refusal(const std::string& name) {
    auto x = may_leave(cluster_, who_, name);
    return x ? "" : x.why().message;
  }

  void begin() {
    drain_.begin(2, "c", 60s, now_);
    EXPECT_EQ(drain_.take_orders(), orders{order::move_experts});
  }

  void move_experts(uint64_t moved, uint64_t all, bool is_done) {
    drain_.experts(2, {moved, all, is_done, {}, known_});
  }

  void fail(errc code, const std::string& why) {
    drain_.experts(2, {.why = failure{code, why}});
  }

  void requests(uint64_t left, bool is_needed = false,
                clock::instant now = {}) {
    drain_.requests(2, {left, is_needed, known_}, std::max(now, now_));
  }

  topology cluster_;
  membership who_{{"a", "b", "c"}};
  node_drain drain_;
  clock::instant now_{1h};
  lost_processes known_; ///< To placer and gateway.
};

} // namespace

TEST_F(NodeDrain, SomeNodesMayNotLeave) {
  EXPECT_EQ(refusal("b"), "the cluster is starting");
  start();
  EXPECT_EQ(refusal("z"), "the cluster has no node named z");
  EXPECT_NE(refusal("a").find("is the first one"), std::string::npos);
  EXPECT_EQ(refusal("b"), "");
  EXPECT_EQ(refusal("c"), "") << "of room for its experts others know";
  cluster_.nodes[0].ranks.clear();
  EXPECT_EQ(refusal("b"), "no other node than b has ranks at present");
  ASSERT_TRUE(who_.suspected(0, 2, 102));
  EXPECT_EQ(refusal("c"), "node c does not serve");
}

TEST_F(NodeDrain, IsToldToEndOnceItHasNothing) {
  begin();
  move_experts(0, 8, false);
  EXPECT_EQ(drain_.take_orders(), orders{order::move_requests});
  requests(3);
  move_experts(4, 8, false);
  EXPECT_EQ(sentence(*drain_.progress()),
            "node c: experts 4 of 8 moved, 3 requests left");
  move_experts(8, 8, true);
  EXPECT_TRUE(drain_.take_orders().empty()) << "requests are left";
  requests(0);
  EXPECT_EQ(drain_.take_orders(), orders{order::end_node});
  EXPECT_TRUE(drain_.gone(2, "its connection ended"));
  EXPECT_EQ(drain_.progress()->state, drain_state::left);
  EXPECT_TRUE(drain_.is_idle());
}

TEST_F(NodeDrain, WhoIsGoneBeforeIsLost) {
  begin();
  move_experts(0, 8, false);
  drain_.take_orders();
  EXPECT_FALSE(drain_.gone(1, "another one"));
  EXPECT_FALSE(drain_.is_idle());
  EXPECT_FALSE(drain_.gone(2, "it was killed"));
  EXPECT_EQ(drain_.progress()->state, drain_state::lost);
  EXPECT_TRUE(drain_.take_orders().empty());
  drain_.begin(2, "c", 60s, now_);
  drain_.take_orders();
  EXPECT_FALSE(drain_.gone(2, "it was killed"));
  EXPECT_TRUE(drain_.take_orders().empty());
  EXPECT_EQ(drain_.progress()->state, drain_state::lost);
}

TEST_F(NodeDrain, StaysWhereThereIsNoRoom) {
  begin();
  fail(errc::refused, "there is no room");
  EXPECT_EQ(drain_.take_orders(), orders{order::stay});
  EXPECT_EQ(drain_.progress()->state, drain_state::stays);
  EXPECT_EQ(drain_.progress()->why, "there is no room");
  EXPECT_TRUE(drain_.is_idle());
}

TEST_F(NodeDrain, TriesAgainAfterAChangeThatWasGivenUp) {
  begin();
  fail(errc::overloaded, "another change");
  EXPECT_TRUE(drain_.take_orders().empty()) << "with the next tick";
  drain_.tick(now_ + 1s);
  EXPECT_EQ(drain_.take_orders(), orders{order::move_experts});
  drain_.tick(now_ + 2s);
  EXPECT_TRUE(drain_.take_orders().empty()) << "once";
  move_experts(0, 8, false);
  drain_.take_orders();
  fail(errc::step_failed, "no file");
  drain_.tick(now_ + 3s);
  EXPECT_EQ(drain_.take_orders(), orders{order::move_experts});
}

TEST_F(NodeDrain, StaysWhenItsTimeIsOver) {
  begin();
  move_experts(8, 8, true);
  requests(1);
  drain_.take_orders();
  drain_.tick(now_ + 59s);
  EXPECT_TRUE(drain_.take_orders().empty());
  drain_.tick(now_ + 60s);
  EXPECT_EQ(drain_.take_orders(), orders{order::stay});
  EXPECT_EQ(sentence(*drain_.progress()),
            "node c stays: its time of 60 s is over; node c: experts 8 of 8 "
            "moved, 1 requests left");
  requests(0, false, now_ + 61s);
  EXPECT_TRUE(drain_.take_orders().empty()) << "late";
}

TEST_F(NodeDrain, WhoDoesNotEndHasLeftAllTheSame) {
  begin();
  move_experts(0, 0, true);
  requests(0);
  drain_.take_orders();
  drain_.tick(now_ + 9s);
  EXPECT_TRUE(drain_.take_orders().empty());
  drain_.tick(now_ + 10s);
  EXPECT_EQ(drain_.take_orders(), orders{order::gone});
  EXPECT_TRUE(drain_.gone(2, "it was told to end, and has not"));
}

TEST_F(NodeDrain, WhoSaidThatNothingIsLeftSaysItAgainAfterALoss) {
  begin();
  move_experts(8, 8, true);
  drain_.take_orders();
  drain_.lost(1, 101);
  requests(0);
  EXPECT_TRUE(drain_.take_orders().empty()) << "the gateway has not heard";
  move_experts(8, 8, true);
  known_ = {{1, 101}};
  requests(0);
  EXPECT_TRUE(drain_.take_orders().empty()) << "nor has the placer";
  move_experts(8, 8, true);
  requests(0);
  EXPECT_EQ(drain_.take_orders(), orders{order::end_node});
}

/// What was said before another loss is old, of a successor's nothing is
/// awaited, and who is back is no loss.
TEST_F(NodeDrain, ALossIsThatOfTheProcessThatServed) {
  begin();
  drain_.lost(1, 101);
  drain_.lost(1, 201);
  known_ = {{1, 101}};
  move_experts(8, 8, true);
  drain_.take_orders();
  drain_.back(1);
  drain_.lost(1, 301);
  move_experts(8, 8, true);
  requests(0);
  EXPECT_TRUE(drain_.take_orders().empty());
  drain_.back(1);
  known_.clear();
  move_experts(8, 8, true);
  requests(0);
  EXPECT_EQ(drain_.take_orders(), orders{order::end_node});
}

TEST_F(NodeDrain, IsNotToldToEndWhileNobodyElseCouldRunRequests) {
  begin();
  move_experts(8, 8, true);
  requests(0, true);
  drain_.take_orders();
  drain_.tick(now_ + 59s);
  EXPECT_TRUE(drain_.take_orders().empty());
  drain_.tick(now_ + 60s);
  EXPECT_EQ(drain_.take_orders(), orders{order::stay});
  EXPECT_EQ(sentence(*drain_.progress()), "node c stays: its time of 60 s is "
                                          "over; nobody else could run "
                                          "requests");
}

TEST_F(NodeDrain, StaysAtOnceWhenItsRoomIsNeededAfterAll) {
  begin();
  move_experts(8, 8, true);
  drain_.take_orders();
  fail(errc::step_failed, "the change was given up");
  fail(errc::refused, "its slots are needed");
  EXPECT_EQ(drain_.take_orders(), orders{order::stay});
  EXPECT_EQ(sentence(*drain_.progress()), "node c stays: its slots are needed");
}

TEST_F(NodeDrain, IsTakenBackUntilTheNodeIsToldToEnd) {
  EXPECT_EQ(drain_.take_back("c").why().message, "node c is not leaving");
  EXPECT_EQ(drain_.take_back("").why().message, "no node is leaving");
  begin();
  EXPECT_EQ(drain_.take_back("x").why().message, "node x is not leaving");
  EXPECT_TRUE(drain_.take_back("c"));
  EXPECT_EQ(drain_.take_orders(), orders{order::stay});
  EXPECT_EQ(drain_.progress()->state, drain_state::stays);
  EXPECT_TRUE(drain_.is_idle());
  begin();
  move_experts(8, 8, true);
  EXPECT_EQ(drain_.take_orders(), orders{order::move_requests});
  EXPECT_TRUE(drain_.take_back("")) << "whoever it is";
  EXPECT_EQ(drain_.take_orders(), orders{order::stay});
  begin();
  move_experts(8, 8, true);
  requests(0);
  drain_.take_orders();
  EXPECT_EQ(drain_.take_back("c").why().message,
            "node c was told to end already: it may join again");
  EXPECT_EQ(drain_.take_orders(), orders{});
  EXPECT_TRUE(drain_.gone(2, "")) << "in peace";
}
