/// Each fault of a virtual network does what it says, and says that it did.

#include "tests/unit/runtime/virtual_nodes.hpp"

#include <numeric>

using namespace troupe;
using namespace std::chrono_literals;

namespace {

class SimNetFaults : public VirtualNodes {
protected:
  SimNetFaults() {
    meet(a, b);
  }

  void send_many(size_t n, frame_class kind = frame_class::control) {
    for (size_t i = 0; i < n; ++i) {
      send(a, 2, i, "word", kind);
      run(10us);
    }
  }

  void expect_whole(size_t n, lane which = lane::control) {
    std::vector<uint64_t> all(n);
    std::iota(all.begin(), all.end(), 0);
    EXPECT_EQ(b.ids(which), all);
  }

  uint64_t num_refused() const {
    uint64_t out = 0;
    for (auto x : b.net->stats().frames_refused)
      out += x;
    return out;
  }

  virtual_node& a = start(1);
  virtual_node& b = start(2);
};

} // namespace

TEST_F(SimNetFaults, WhatACutHasKeptComesInOrderOnceItIsHealed) {
  net.set_link(1, 2, {.latency = 1ms, .jitter = 1ms});
  send_many(20);
  auto cut = net.cut(1, 2);
  for (uint64_t i = 20; i < 40; ++i)
    send(a, 2, i);
  run(300ms);
  auto before = b.frames.size();
  EXPECT_LT(before, 20u) << "what is in the air is kept too";
  EXPECT_GE(net.num_hit(cut), 20u);
  run(200ms);
  net.heal(cut);
  for (uint64_t i = 40; i < 60; ++i)
    send(a, 2, i);
  run(1s);
  expect_whole(60);
  EXPECT_TRUE(a.lost.empty() && b.lost.empty());
}

TEST_F(SimNetFaults, ACutOneWayIsJudgedByTheSideThatHearsNothing) {
  auto cut = net.cut_oneway(1, 2);
  run(1150ms);
  ASSERT_EQ(b.lost.size(), 1u);
  EXPECT_EQ(b.lost[0], "node 1 was silent for 1.0 s");
  EXPECT_GT(net.num_hit(cut), 5u);
  run(1s);
  // It could be told, that way is open.
  ASSERT_EQ(a.lost.size(), 1u);
  EXPECT_EQ(a.lost[0],
            "node 2 gave us up: 2 says that this node was silent for 1.0 s");
}

TEST_F(SimNetFaults, ALongCutIsJudgedByBothAndNothingOldComesAfterIt) {
  auto cut = net.cut(1, 2);
  send(a, 2, 5);
  run(3s);
  EXPECT_EQ(a.lost.size(), 1u);
  EXPECT_EQ(b.lost.size(), 1u);
  net.heal(cut);
  run(1s);
  EXPECT_TRUE(b.frames.empty());
  EXPECT_GT(b.refused(refusal::stale), 0u);
  auto& next = start(1);
  dial(next, 2);
  run(1s);
  EXPECT_EQ(b.joined.size(), 2u);
}

TEST_F(SimNetFaults, ACutOfRowsLeavesControlAlone) {
  auto cut = net.cut(1, 2, frame_filter::rows);
  send_many(5, frame_class::dispatch);
  send_many(5, frame_class::control);
  run(5s);
  EXPECT_TRUE(a.lost.empty());
  expect_whole(5);
  expect_whole(0, lane::rows);
  EXPECT_EQ(net.num_hit(cut), 5u);
  net.heal(cut);
  net.heal(cut);
  run(1s);
  expect_whole(5, lane::rows);
}

TEST_F(SimNetFaults, WithoutHeartbeatsOnlyWhoTalksIsAlive) {
  auto cut = net.cut(1, 2, frame_filter::heartbeat);
  for (int i = 0; i < 50; ++i) {
    send(a, 2, 0);
    send(b, 1, 0);
    run(100ms);
  }
  EXPECT_TRUE(a.lost.empty() && b.lost.empty());
  EXPECT_GT(net.num_hit(cut), 50u);
  run(1300ms);
  EXPECT_EQ(a.lost.size(), 1u);
}

TEST_F(SimNetFaults, ACutDelaysMeetingsToo) {
  auto& c = start(3);
  auto cut = net.cut(3, 1);
  dial(c, 1);
  run(500ms);
  EXPECT_TRUE(c.joined.empty() && c.failed.empty());
  net.heal(cut);
  run(1s);
  EXPECT_EQ(c.joined, std::vector<std::string>{"1"});
}

TEST_F(SimNetFaults, OverlappingCutsEndWithTheLast) {
  auto first = net.cut(1, 2), second = net.cut_oneway(1, no_node);
  send(a, 2, 0);
  run(100ms);
  net.heal(first);
  run(300ms);
  expect_whole(0);
  net.heal(second);
  run(300ms);
  expect_whole(1);
}

TEST_F(SimNetFaults, AFaultOfAllLinksHoldsForThoseThatComeLater) {
  auto cut = net.cut(no_node, no_node);
  auto& c = start(3);
  dial(c, 1);
  run(300ms);
  EXPECT_TRUE(c.joined.empty());
  EXPECT_GT(net.num_hit(cut), 0u);
  net.heal(cut);
  run(1s);
  EXPECT_EQ(c.joined.size(), 1u);
}

TEST_F(SimNetFaults, AClogLetsNothingLeaveUntilItIsHealed) {
  auto clog = net.clog(1, 2);
  send_many(3);
  run(500ms);
  expect_whole(0);
  EXPECT_GT(net.num_hit(clog), 0u);
  net.heal(clog);
  run(1ms);
  expect_whole(3);
}

TEST_F(SimNetFaults, AClogCountsEachFrameThatItKeepsOnce) {
  auto first = net.clog(1, 2, frame_filter::rows);
  send(a, 2, 0, "row", frame_class::dispatch);
  send_many(50); // each looks at what waits
  auto second = net.clog(1, 2, frame_filter::rows);
  send_many(50);
  EXPECT_EQ(net.num_hit(first), 1u);
  EXPECT_EQ(net.num_hit(second), 1u);
  net.heal(first);
  net.heal(second);
  run(1ms);
  EXPECT_EQ(net.num_hit(first), 1u);
  expect_whole(1, lane::rows);
}

TEST_F(SimNetFaults, DelayAndRateAddTheirTime) {
  auto delay = net.delay(1, 2, 30ms);
  auto begin = w.now();
  send(a, 2, 0);
  run(100ms);
  ASSERT_EQ(b.frames.size(), 1u);
  EXPECT_GE(b.frames[0].at - begin, 30ms);
  EXPECT_LT(b.frames[0].at - begin, 31ms);
  net.heal(delay);
  auto rate = net.rate(1, 2, 100'000);
  begin = w.now();
  send(a, 2, 1, std::string(10'000 - 64, 'x'));
  run(500ms);
  ASSERT_EQ(b.frames.size(), 2u);
  EXPECT_GE(b.frames[1].at - begin, 100ms);
  EXPECT_GT(net.num_hit(delay), 0u);
  EXPECT_GT(net.num_hit(rate), 0u);
  net.heal(rate);
  begin = w.now();
  send(a, 2, 2);
  run(500ms);
  EXPECT_LT(b.frames[2].at - begin, 1ms);
}

TEST_F(SimNetFaults, NobodyOvertakesADelayedFrameOfItsLane) {
  auto delay = net.delay(1, 2, 50ms);
  auto begin = w.now();
  send(a, 2, 0);
  run(1ms);
  net.heal(delay);
  send(a, 2, 1);
  send(a, 2, 2, "row", frame_class::dispatch);
  run(100ms);
  ASSERT_EQ(b.frames.size(), 3u);
  EXPECT_EQ(b.frames[0].id, 2u) << "lanes do not wait";
  EXPECT_EQ(b.frames[1].id, 0u);
  EXPECT_GE(b.frames[1].at - begin, 50ms);
  EXPECT_GE(b.frames[2].at, b.frames[1].at);
}

TEST_F(SimNetFaults, AResetEndsTheConnectionOnBothSides) {
  EXPECT_EQ(net.reset(1, 2), 1u);
  run(10us);
  EXPECT_EQ(net.reset(1, 2), 0u) << "what has come before is still read";
  run(1s);
  ASSERT_EQ(a.lost.size(), 1u);
  EXPECT_EQ(a.lost[0], "node 2 closed its connection");
  ASSERT_EQ(b.lost.size(), 1u);
  EXPECT_EQ(net.reset(1, 2), 0u);
}

TEST_F(SimNetFaults, ACorruptedFrameIsRefusedAndItsPeerLost) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    SCOPED_TRACE(seed);
    auto& x = start(node_id(10 + seed));
    meet(x, b);
    auto fault = net.corrupt(w.node_of(x.life), 2, 1, frame_filter::rows);
    auto before = num_refused();
    send(x, 2, 1, "word", frame_class::dispatch);
    run(1s);
    EXPECT_EQ(net.num_hit(fault), 1u);
    EXPECT_EQ(num_refused(), before + 1);
    net.heal(fault);
  }
  EXPECT_TRUE(b.frames.empty());
  EXPECT_GT(b.refused(refusal::damaged), 10u);
  EXPECT_EQ(net.num_unexplained(), 0u) << "the fault explains them";
}

TEST_F(SimNetFaults, EveryCopyOfAFrameIsRefusedAtTheGate) {
  auto fault = net.duplicate(1, 2, 0.5, frame_filter::rows);
  send_many(100, frame_class::dispatch);
  run(1s);
  EXPECT_GT(net.num_hit(fault), 20u);
  EXPECT_LT(net.num_hit(fault), 80u);
  EXPECT_EQ(b.refused(refusal::repeated), net.num_hit(fault));
  expect_whole(100, lane::rows);
  EXPECT_TRUE(b.lost.empty());
}

TEST_F(SimNetFaults, OldFramesOfAFormerLifeAreStale) {
  send_many(8, frame_class::dispatch);
  w.crash(1);
  run(100ms);
  auto& next = start(1);
  dial(next, 2);
  run(100ms);
  auto fault = net.replay(1, 2, 1, frame_filter::rows);
  auto before = b.frames.size();
  send(next, 2, 100, "new", frame_class::dispatch);
  run(100ms);
  EXPECT_EQ(net.num_hit(fault), 1u);
  EXPECT_EQ(b.refused(refusal::stale), 1u);
  EXPECT_EQ(b.frames.size(), before + 1);
  EXPECT_EQ(w.trace().count(trace_kind::frame_refused), 1u);
}

TEST_F(SimNetFaults, AFrameThatIsRepeatedIsTheFaultsDoing) {
  send_many(8, frame_class::dispatch);
  auto fault = net.replay(1, 2, 1, frame_filter::rows);
  std::vector<bool> tampered;
  auto& link = net.link(1, 2);
  packet fresh;
  fresh.header[5] = std::byte(frame_class::dispatch);
  for (auto& x : link.tamper(fresh))
    tampered.push_back(x.is_tampered);
  EXPECT_EQ(tampered, (std::vector<bool>{false, true}));
  EXPECT_EQ(net.num_hit(fault), 1u);
}
