#include "runtime/transport/frame_gate.hpp"

#include <gtest/gtest.h>

#include <set>

namespace troupe {

namespace {

constexpr uint64_t own = 100, peer = 200;

struct FrameGate : testing::Test {
  std::set<uint64_t> over;
  frame_gate gate{7, own, [this](uint64_t x) { return over.contains(x); }};

  FrameGate() {
    EXPECT_TRUE(gate.add_peer(3, peer));
    gate.set_view(10);
  }

  static frame_header from_peer(frame_class kind = frame_class::dispatch,
                                uint16_t sequence = 0) {
    frame_header x;
    x.sequence = sequence;
    x.kind = kind;
    x.cluster = 7;
    x.source = peer;
    x.destination = own;
    x.view = 10;
    x.epoch = 20;
    return x;
  }

  void expect_refused(const frame_header& x, refusal why) {
    auto before = gate.refused(why);
    auto verdict = gate.judge(x);
    ASSERT_TRUE(std::holds_alternative<refusal>(verdict));
    EXPECT_EQ(std::get<refusal>(verdict), why);
    EXPECT_EQ(gate.refused(why), before + 1);
  }

  void expect_let_in(const frame_header& x, node_id from = 3) {
    auto verdict = gate.judge(x);
    ASSERT_TRUE(std::holds_alternative<node_id>(verdict));
    EXPECT_EQ(std::get<node_id>(verdict), from);
  }
};

} // namespace

TEST_F(FrameGate, LetsInWhatAPeerSends) {
  using enum frame_class;
  for (auto [kind, sequence] : {std::pair{control, 0},
                                {dispatch, 0},
                                {combine, 1},
                                {bulk, 0},
                                {heartbeat, 1}})
    expect_let_in(from_peer(kind, uint16_t(sequence)));
  for (size_t i = 0; i < size_t(refusal::num_refusals); ++i)
    EXPECT_EQ(gate.refused(refusal(i)), 0u);
}

TEST_F(FrameGate, RefusesAnotherCluster) {
  auto x = from_peer();
  x.cluster = 8;
  expect_refused(x, refusal::foreign);
}

TEST_F(FrameGate, RefusesWhatWasMeantForAnEarlierIncarnation) {
  auto x = from_peer();
  x.destination = own - 1;
  expect_refused(x, refusal::stale);
}

TEST_F(FrameGate, RefusesWhoItNeverMet) {
  auto x = from_peer();
  x.source = peer + 1;
  expect_refused(x, refusal::unknown_peer);
}

TEST_F(FrameGate, DropsNothingForItsViewOrEpoch) {
  for (auto kind :
       {frame_class::dispatch, frame_class::control, frame_class::bulk})
    for (uint16_t sequence = 0; uint32_t number : {0u, 9u, 11u, UINT32_MAX}) {
      auto x = from_peer(kind, sequence++);
      x.view = x.epoch = number;
      expect_let_in(x);
    }
}

TEST_F(FrameGate, RefusesAPeerThatWasGivenUpAsStale) {
  EXPECT_FALSE(gate.remove_peer(3, peer + 1)) << "that is another process";
  expect_let_in(from_peer());
  over.insert(peer);
  EXPECT_TRUE(gate.remove_peer(3, peer));
  EXPECT_FALSE(gate.remove_peer(3, peer));
  expect_refused(from_peer(), refusal::stale);
  EXPECT_TRUE(gate.add_peer(3, peer + 1));
  EXPECT_FALSE(gate.remove_peer(3, peer)) << "late";
  expect_refused(from_peer(), refusal::stale);
  auto x = from_peer();
  x.source = peer + 1;
  expect_let_in(x);
}

TEST_F(FrameGate, LetsAFrameInOnce) {
  expect_let_in(from_peer(frame_class::combine, 0));
  expect_refused(from_peer(frame_class::combine, 0), refusal::repeated);
  expect_refused(from_peer(frame_class::dispatch, 0), refusal::repeated);
  expect_let_in(from_peer(frame_class::combine, 1));
  expect_refused(from_peer(frame_class::hello), refusal::repeated);
}

TEST_F(FrameGate, RefusesWhatComesBehindAMissingFrame) {
  expect_refused(from_peer(frame_class::control, 1), refusal::ahead);
  expect_let_in(from_peer(frame_class::control, 0));
}

TEST_F(FrameGate, AsksAHeartbeatForOtherLanesWhereTheyMayNotOvertake) {
  auto x = from_peer(frame_class::heartbeat);
  for (x.first = 5; x.sequence < 3; ++x.sequence)
    expect_let_in(x);
  EXPECT_TRUE(std::holds_alternative<node_id>(gate.judge(x, lane_counts{})));
  ++x.sequence;
  EXPECT_TRUE(
    std::holds_alternative<node_id>(gate.judge(x, lane_counts{0, 5, 0})));
  ++x.sequence;
  auto verdict = gate.judge(x, lane_counts{0, 4, 0});
  EXPECT_EQ(std::get<refusal>(verdict), refusal::ahead);
}

TEST_F(FrameGate, CountsNoFrameThatItRefusesForSomethingElse) {
  auto x = from_peer();
  x.destination = own - 1;
  expect_refused(x, refusal::stale);
  x = from_peer();
  x.cluster = 8;
  expect_refused(x, refusal::foreign);
  expect_let_in(from_peer());
}

TEST_F(FrameGate, TellsWhoseADamagedFrameIsOfThoseItKnows) {
  auto claims = [](uint64_t source) {
    auto x = from_peer();
    x.source = source;
    return encode_header(x, {}, {});
  };
  EXPECT_EQ(gate.judge_damaged(claims(peer)), node_id{3});
  EXPECT_EQ(gate.judge_damaged(claims(peer + 1)), std::nullopt);
  auto short_one = claims(peer);
  EXPECT_EQ(gate.judge_damaged(std::span{short_one}.first(63)), std::nullopt);
  EXPECT_EQ(gate.refused(refusal::damaged), 3u);
  gate.remove_peer(3, peer);
  EXPECT_EQ(gate.judge_damaged(claims(peer)), std::nullopt);
}

TEST_F(FrameGate, NumbersWhatGoesToEachPeerAndLane) {
  ASSERT_TRUE(gate.add_peer(4, 300));
  auto number = [this](uint64_t to, frame_class kind) {
    frame_header x;
    x.kind = kind;
    x.sequence = 9;
    gate.stamp(x, to, 0);
    return gate.number(x) ? int(x.sequence) : -1;
  };
  using enum frame_class;
  EXPECT_EQ(number(peer, control), 0);
  EXPECT_EQ(number(peer, heartbeat), 1);
  EXPECT_EQ(number(peer, dispatch), 0);
  EXPECT_EQ(number(peer, combine), 1);
  EXPECT_EQ(number(peer, bulk), 0);
  EXPECT_EQ(number(300, control), 0);
  EXPECT_EQ(number(301, hello), 0) << "it comes first of all";
  EXPECT_EQ(number(301, control), -1);
  gate.remove_peer(4, 300);
  EXPECT_EQ(number(300, control), -1);
  ASSERT_TRUE(gate.add_peer(4, 301));
  EXPECT_EQ(number(301, control), 0);
}

TEST_F(FrameGate, HasOneIncarnationForEachPeer) {
  EXPECT_FALSE(gate.add_peer(3, 300));
  EXPECT_FALSE(gate.add_peer(4, peer));
  EXPECT_EQ(gate.incarnation_of(3), peer);
  EXPECT_EQ(gate.find(peer), node_id{3});
  EXPECT_EQ(gate.incarnation_of(4), 0u);
}

TEST_F(FrameGate, StampsWhatTheOtherSidesGateLetsIn) {
  frame_gate other{7, peer, [](auto) { return false; }};
  ASSERT_TRUE(other.add_peer(9, own));
  frame_header x;
  x.kind = frame_class::combine;
  x.epoch = 20;
  gate.stamp(x, peer, 5);
  ASSERT_TRUE(gate.number(x));
  EXPECT_EQ(x.view, 10u);
  EXPECT_EQ(x.epoch, 20u) << "whoever has planned the rows writes it";
  EXPECT_EQ(x.length, 5u);
  auto verdict = other.judge(x);
  ASSERT_TRUE(std::holds_alternative<node_id>(verdict));
  EXPECT_EQ(std::get<node_id>(verdict), 9);
}

} // namespace troupe
