#include "tests/unit/runtime/virtual_nodes.hpp"

#include <algorithm>
#include <numeric>

using namespace troupe;
using namespace std::chrono_literals;

namespace {

std::vector<uint64_t> first_numbers(size_t n) {
  std::vector<uint64_t> out(n);
  std::iota(out.begin(), out.end(), 0);
  return out;
}

class SimNetwork : public VirtualNodes {
protected:
  virtual_node& a = start(1);
  virtual_node& b = start(2);
};

/// Three nodes that answer each other for a while, on links that tremble.
class story : public VirtualNodes {
public:
  explicit story(uint64_t seed) : VirtualNodes(seed) {
    for (node_id i = 1; i < 4; ++i)
      for (node_id k = 1; k < 4; ++k)
        net.set_link(i, k, {.latency = 50us, .jitter = 30us});
    std::vector<virtual_node*> nodes;
    for (node_id i = 1; i < 4; ++i)
      nodes.push_back(&start(i));
    for (node_id i = 1; i < 4; ++i)
      for (node_id k = i + 1; k < 4; ++k)
        meet(*nodes[i - 1], *nodes[k - 1]);
    for (uint64_t n = 0; n < 30; ++n) {
      send(*nodes[n % 3], node_id(1 + (n + 1) % 3), n);
      run(20us);
    }
    w.crash(2);
    run(2s);
  }

  void TestBody() override {
  }
};

} // namespace

TEST(SimNetworkStory, IsOneForEachSeed) {
  auto hash = [](uint64_t seed) { return story{seed}.w.trace().hash(); };
  auto first = hash(1);
  EXPECT_EQ(hash(1), first);
  EXPECT_NE(hash(2), first);
}

// -- meeting ------------------------------------------------------------------

TEST_F(SimNetwork, PeersMeetByTheRealHandshakeAndSendBothWays) {
  meet(a, b);
  EXPECT_EQ(a.joined, std::vector<std::string>{"2"});
  EXPECT_EQ(b.joined, std::vector<std::string>{"1"});
  send(a, 2, 7, "there");
  EXPECT_TRUE(b.frames.empty()) << "nothing arrives inside of send";
  send(b, 1, 8, "back", frame_class::combine);
  run(1ms);
  ASSERT_EQ(b.frames.size(), 1u);
  EXPECT_EQ(b.frames[0].text, "there");
  EXPECT_EQ(b.frames[0].from, 1);
  ASSERT_EQ(a.frames.size(), 1u);
  EXPECT_EQ(a.frames[0].text, "back");
  EXPECT_EQ(w.trace().count(trace_kind::peer_joined), 2u);
  EXPECT_GT(a.net->stats().bytes_sent, 64u);
}

TEST_F(SimNetwork, FramesToOneselfComeAtOnce) {
  send(a, 1, 3, "me");
  ASSERT_EQ(a.frames.size(), 1u);
  EXPECT_EQ(a.frames[0].text, "me");
}

TEST_F(SimNetwork, TwoWhoDialEachOtherBecomePeersOnce) {
  dial(a, 2);
  dial(b, 1);
  run(1s);
  EXPECT_EQ(a.joined.size(), 1u);
  EXPECT_EQ(b.joined.size(), 1u);
  EXPECT_TRUE(a.failed.empty() && b.failed.empty());
  send(a, 2, 1);
  send(b, 1, 2);
  run(1ms);
  EXPECT_EQ(a.frames.size() + b.frames.size(), 2u);
}

TEST_F(SimNetwork, WhoIsNotAdmittedHearsWhy) {
  auto& stranger = start(99);
  dial(stranger, 1);
  run(1s);
  ASSERT_EQ(stranger.failed.size(), 1u);
  EXPECT_NE(stranger.failed[0].find("there is no place for 99"),
            std::string::npos)
    << stranger.failed[0];
  EXPECT_TRUE(a.joined.empty());
}

TEST_F(SimNetwork, APlaceIsGivenBackIfWhoWasLetInDoesNotCome) {
  net.set_link(1, 2, {.latency = 5ms});
  dial(a, 2);
  while (b.num_asked == 0)
    run(1us);
  w.crash(1);
  run(60s);
  EXPECT_TRUE(b.joined.empty());
  EXPECT_EQ(b.stayed_away, std::vector{a.incarnation});
  auto& next = start(1);
  meet(next, b);
  w.crash(1);
  run(60s);
  EXPECT_EQ(b.lost.size(), 1u);
  EXPECT_EQ(b.stayed_away.size(), 1u) << "it had come";
}

TEST_F(SimNetwork, NobodyAtAnAddressIsToldAtOnceAndPatienceHasADeadline) {
  dial(a, 7);
  run(1ms);
  ASSERT_EQ(a.failed.size(), 1u);
  EXPECT_NE(a.failed[0].find("refused"), std::string::npos);
  dial(a, 8, 500ms, true);
  run(400ms);
  EXPECT_EQ(a.failed.size(), 1u);
  run(200ms);
  ASSERT_EQ(a.failed.size(), 2u);
  EXPECT_NE(a.failed[1].find("in time"), std::string::npos);
  dial(a, 9, 5s, true);
  run(1s);
  start(9);
  run(1s);
  EXPECT_EQ(a.joined, std::vector<std::string>{"9"});
}

TEST_F(SimNetwork, ASecondProcessOfANameIsToldThatTheFirstStays) {
  meet(a, b);
  auto& other = start(1);
  dial(other, 2);
  run(1s);
  ASSERT_EQ(other.failed.size(), 1u);
  EXPECT_NE(other.failed[0].find("is here already"), std::string::npos);
  EXPECT_TRUE(b.lost.empty());
}

// -- links --------------------------------------------------------------------

TEST_F(SimNetwork, LanesKeepTheirOrderUnderJitter) {
  net.set_link(1, 2, {.latency = 1ms, .jitter = 5ms});
  meet(a, b);
  for (uint64_t i = 0; i < 200; ++i) {
    send(a, 2, i, "x", frame_class::control);
    send(a, 2, i, "x", frame_class::dispatch);
    run(100us);
  }
  run(1s);
  EXPECT_EQ(b.ids(lane::control), first_numbers(200));
  EXPECT_EQ(b.ids(lane::rows), first_numbers(200));
  std::vector<uint64_t> both;
  for (auto& x : b.frames)
    both.push_back(x.id);
  EXPECT_FALSE(std::ranges::is_sorted(both)) << "lanes do not wait";
}

TEST_F(SimNetwork, BytesTakeTheTimeOfTheirLinkAndControlGoesBeforeRows) {
  net.set_link(1, 2, {.latency = 10ms, .bytes_per_second = 1'000'000});
  meet(a, b);
  auto begin = w.now();
  std::string large(100'000 - 64, 'x');
  send(a, 2, 0, large, frame_class::bulk);
  send(a, 2, 1, large, frame_class::bulk);
  send(a, 2, 2, large, frame_class::dispatch);
  send(a, 2, 3, "", frame_class::control);
  run(1s);
  ASSERT_EQ(b.frames.size(), 4u);
  std::vector<uint64_t> order;
  for (auto& x : b.frames)
    order.push_back(x.id);
  EXPECT_EQ(order, (std::vector<uint64_t>{0, 3, 2, 1}));
  EXPECT_EQ(b.frames[0].at - begin, 110ms);
  EXPECT_EQ(b.frames[1].at - begin, 110ms + 64us);
  EXPECT_GE(b.frames[3].at - begin, 310ms + 64us);
  EXPECT_LT(b.frames[3].at - begin, 311ms) << "heartbeats go in between";
}

TEST_F(SimNetwork, BulkWaitsWhereAnythingElseDoes) {
  meet(a, b);
  auto clog = net.clog(1, 2, frame_filter::control);
  send(a, 2, 0, "waits", frame_class::control);
  send(a, 2, 1, "goes", frame_class::dispatch);
  send(a, 2, 2, "waits too", frame_class::bulk);
  run(10ms);
  ASSERT_EQ(b.frames.size(), 1u);
  EXPECT_EQ(b.frames[0].id, 1u);
  net.heal(clog);
  run(10ms);
  EXPECT_EQ(b.frames.size(), 3u);
}

TEST_F(SimNetwork, MemoryThatIsWrittenBeforeItHasLeftIsADamagedFrame) {
  net.set_link(1, 2, {.bytes_per_second = 1'000'000});
  meet(a, b);
  auto memory = std::make_shared<std::string>(10'000, 'x');
  frame_header header;
  header.kind = frame_class::dispatch;
  a.net->send(2, header, {memory, std::as_bytes(std::span{*memory})});
  run(5ms);
  (*memory)[9'000] = 'y';
  run(1s);
  EXPECT_TRUE(b.frames.empty());
  EXPECT_EQ(b.refused(refusal::damaged), 1u);
  EXPECT_EQ(net.num_unexplained(), 1u);
  ASSERT_EQ(b.lost.size(), 1u);
  EXPECT_EQ(b.lost[0], "node 1 sent a damaged frame");
  ASSERT_EQ(a.lost.size(), 1u);
}

TEST_F(SimNetwork, MemoryMayBeUsedAgainOnceItHasLeft) {
  meet(a, b);
  auto memory = std::make_shared<std::string>(10'000, 'x');
  a.net->send(2, {}, {memory, std::as_bytes(std::span{*memory})});
  run(1us); // As long as it takes at 10 GB/s.
  run(10us);
  (*memory)[9'000] = 'y';
  run(1s);
  ASSERT_EQ(b.frames.size(), 1u);
  EXPECT_EQ(b.frames[0].text, std::string(10'000, 'x'));
}

TEST_F(SimNetwork, WhoDoesNotTakeWhatIsSentIsLostBeyondTheLimit) {
  net.set_link(1, 2, {.max_queue = 10'000});
  meet(a, b);
  a.net->set_max_unsent(100'000);
  w.pause(2);
  auto send_slowly = [&](int n) {
    for (; n > 0; --n) {
      send(a, 2, 0, std::string(1000, 'x'));
      run(1us);
    }
  };
  send_slowly(50);
  EXPECT_TRUE(a.lost.empty());
  send_slowly(70);
  ASSERT_EQ(a.lost.size(), 1u);
  EXPECT_EQ(a.lost[0], "node 2 did not take what was sent to it");
}

TEST_F(SimNetwork, WhoTakesNothingForLongIsLostAlsoIfNobodyWatches) {
  dial(a, 2);
  run(100ms);
  auto clog = net.clog(1, 2);
  send(a, 2, 0);
  run(29s);
  EXPECT_TRUE(a.lost.empty());
  run(2s);
  ASSERT_EQ(a.lost.size(), 1u);
  EXPECT_EQ(a.lost[0], "node 2 took nothing of what was sent to it for 30.0 s");
  EXPECT_GT(net.num_hit(clog), 0u);
}

// -- ends ---------------------------------------------------------------------

TEST_F(SimNetwork, ADeadProcessIsSeenOneFlightLaterAndItsLastFramesArrive) {
  net.set_link(1, 2, {.latency = 5ms});
  meet(a, b);
  send(a, 2, 1, "left in time");
  run(1ms);
  auto begin = w.now();
  send(a, 2, 2, std::string(1 << 20, 'x')); // It has not left yet.
  run(1us);
  w.crash(1);
  send(a, 2, 3, "from the dead");
  EXPECT_TRUE(b.lost.empty());
  run(1s);
  ASSERT_EQ(b.lost.size(), 1u);
  EXPECT_EQ(b.lost[0], "node 1 closed its connection");
  EXPECT_EQ(b.lost_at - begin, 5ms + 1us + 1ms);
  EXPECT_EQ(b.ids(lane::control), std::vector<uint64_t>{1});
  EXPECT_TRUE(a.lost.empty()) << "the dead hear nothing";
}

TEST_F(SimNetwork, ALateFrameOfADeadWriterIsStaleOnceItsPeerKnows) {
  meet(a, b);
  auto slow = net.delay(1, 2, 50ms, frame_filter::rows);
  send(a, 2, 1, "late", frame_class::dispatch);
  run(100us);
  w.crash(1);
  auto& next = start(1);
  run(10ms);
  dial(next, 2);
  run(10ms);
  EXPECT_EQ(b.joined, (std::vector<std::string>{"1", "1"}));
  run(100ms);
  EXPECT_TRUE(b.frames.empty());
  EXPECT_EQ(b.refused(refusal::stale), 1u);
  EXPECT_EQ(net.num_hit(slow), 1u);
  send(next, 2, 9);
  run(1ms);
  EXPECT_EQ(b.frames.size(), 1u);
}

TEST_F(SimNetwork, AnOrderlyEndIsSeenAsTheEndOfTheConnection) {
  meet(a, b);
  a.net.reset();
  run(1s);
  ASSERT_EQ(b.lost.size(), 1u);
  EXPECT_EQ(b.lost[0], "node 1 closed its connection");
}

TEST_F(SimNetwork, WhoIsGivenUpHearsWhyAndALateCallTouchesNoSuccessor) {
  meet(a, b);
  a.net->disconnect(2, 77, "of another");
  a.net->disconnect(2, b.incarnation, "it is time");
  EXPECT_TRUE(a.lost.empty()) << "not inside of the call";
  send(a, 2, 1);
  run(1s);
  ASSERT_EQ(a.lost.size(), 1u);
  EXPECT_EQ(a.lost[0], "node 2 was given up: it is time");
  ASSERT_EQ(b.lost.size(), 1u);
  EXPECT_EQ(b.lost[0], "node 1 gave us up: it is time");
  EXPECT_TRUE(b.frames.empty());
  dial(b, 1);
  run(1s);
  ASSERT_EQ(b.failed.size(), 1u);
  EXPECT_NE(b.failed[0].find("was given up; only a new one can join"),
            std::string::npos)
    << b.failed[0];
}

TEST_F(SimNetwork, AStoppedProcessIsSilentAndIsJudgedNotAShortPause) {
  meet(a, b);
  w.pause(2);
  send(a, 2, 1, "waits");
  run(700ms);
  EXPECT_TRUE(b.frames.empty());
  w.resume(2);
  run(10ms);
  EXPECT_EQ(b.frames.size(), 1u);
  run(5s);
  EXPECT_TRUE(a.lost.empty() && b.lost.empty());
  w.pause(2);
  run(1300ms);
  ASSERT_EQ(a.lost.size(), 1u);
  EXPECT_EQ(a.lost[0], "node 2 was silent for 1.0 s");
  EXPECT_TRUE(b.lost.empty());
  w.resume(2);
  run(1s);
  ASSERT_EQ(b.lost.size(), 1u);
  EXPECT_EQ(b.lost[0],
            "node 1 gave us up: 1 says that this node was silent for 1.0 s");
}

TEST_F(SimNetwork, JudgesByItsOwnClock) {
  meet(a, b);
  w.clock_of(a.life).set_drift(-500'000);
  auto begin = w.now();
  w.pause(2);
  run(10s);
  ASSERT_EQ(a.lost.size(), 1u);
  EXPECT_GT(a.lost_at - begin, 1900ms);
  EXPECT_LT(a.lost_at - begin, 2600ms);
}
