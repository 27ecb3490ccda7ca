#include "runtime/meeting/peer_watch.hpp"

#include <gtest/gtest.h>

#include <random>

using namespace troupe;
using namespace std::chrono_literals;

namespace {

constexpr uint64_t first_life = 11, second_life = 12;

class PeerWatch : public testing::Test {
protected:
  void expect_silence_to_kill(node_id peer, std::chrono::milliseconds after) {
    for (auto left = after; left > 0ms; left -= 100ms)
      EXPECT_TRUE(tick_after(100ms).dead.empty());
    auto dead = tick_after(100ms).dead;
    ASSERT_EQ(dead.size(), 1u);
    EXPECT_EQ(dead[0].peer, peer);
  }

  peer_watch::news tick_after(std::chrono::milliseconds time) {
    now += time;
    return watch.tick(now);
  }

  void watch_peer(node_id peer, uint64_t incarnation) {
    watch.joined(peer, incarnation);
    watch.monitor(peer);
    tick_after(100ms);
  }

  clock::instant now{1h};
  peer_watch watch{{.heartbeat_period = 100ms, .silence_verdict = 1000ms}};
};

} // namespace

TEST_F(PeerWatch, AsksEachMonitoredPeerOncePerPeriod) {
  watch.joined(1, first_life);
  watch.joined(2, second_life);
  EXPECT_TRUE(watch.tick(now).ask.empty());
  watch.monitor(2);
  EXPECT_EQ(watch.tick(now).ask.size(), 1u);
  EXPECT_TRUE(tick_after(99ms).ask.empty());
  auto asked = tick_after(1ms).ask;
  ASSERT_EQ(asked.size(), 1u);
  EXPECT_EQ(asked[0].peer, 2);
  EXPECT_EQ(asked[0].incarnation, second_life);
}

TEST_F(PeerWatch, JudgesAfterTheSilenceAndOnlyOnce) {
  watch_peer(1, first_life);
  expect_silence_to_kill(1, 1000ms);
  EXPECT_TRUE(tick_after(10s).dead.empty());
  EXPECT_FALSE(watch.next_tick());
}

TEST_F(PeerWatch, VerdictsNameTheIncarnationAndTheReason) {
  watch_peer(1, first_life);
  std::vector<peer_watch::verdict> dead;
  while (dead.empty())
    dead = tick_after(100ms).dead;
  EXPECT_EQ(dead[0].incarnation, first_life);
  EXPECT_EQ(dead[0].why, "was silent for 1.0 s");
}

TEST_F(PeerWatch, ASignOfLifeBeginsTheSilenceAnew) {
  watch_peer(1, first_life);
  for (int i = 0; i < 100; ++i) {
    EXPECT_TRUE(tick_after(500ms).dead.empty());
    watch.heard(1, first_life);
  }
  expect_silence_to_kill(1, 1000ms);
}

TEST_F(PeerWatch, LateNewsOfADeadProcessDoesNotKeepItsSuccessorAlive) {
  watch_peer(1, first_life);
  watch.gone(1, first_life);
  watch_peer(1, second_life);
  for (int i = 0; i < 10; ++i) {
    EXPECT_TRUE(tick_after(100ms).dead.empty());
    watch.heard(1, first_life);
  }
  EXPECT_EQ(tick_after(100ms).dead.size(), 1u);
}

TEST_F(PeerWatch, ALateEndOfADeadProcessDoesNotTouchItsSuccessor) {
  watch_peer(1, first_life);
  watch.gone(1, first_life);
  watch_peer(1, second_life);
  watch.gone(1, first_life);
  expect_silence_to_kill(1, 1000ms);
}

TEST_F(PeerWatch, ItsOwnAbsenceIsNotTheSilenceOfOthers) {
  watch_peer(1, first_life);
  for (int i = 0; i < 9; ++i)
    EXPECT_TRUE(tick_after(1h).dead.empty());
  watch.heard(1, first_life);
  EXPECT_TRUE(tick_after(1h).dead.empty());
  // Silent whenever we looked: that is silence.
  for (int i = 0; i < 9; ++i)
    EXPECT_TRUE(tick_after(1h).dead.empty());
  EXPECT_EQ(tick_after(1h).dead.size(), 1u);
}

TEST_F(PeerWatch, WhatIsUnderWayBuysTime) {
  watch_peer(1, first_life);
  watch.set_under_way(1, 100'000'000); // a second of the slowest network
  expect_silence_to_kill(1, 2000ms);
}

TEST_F(PeerWatch, ConnectedButNotMonitoredPeersAreNeverJudged) {
  watch.joined(1, first_life);
  EXPECT_FALSE(watch.next_tick());
  for (int i = 0; i < 100; ++i)
    EXPECT_TRUE(tick_after(100ms).dead.empty());
  watch.monitor(1);
  tick_after(0ms);
  expect_silence_to_kill(1, 1000ms);
}

TEST_F(PeerWatch, SaysWhenItWantsToBeAsked) {
  watch.joined(1, first_life);
  watch.monitor(1);
  EXPECT_LE(*watch.next_tick(), now);
  watch.tick(now);
  EXPECT_EQ(*watch.next_tick(), now + 100ms);
  watch.gone(1, first_life);
  EXPECT_FALSE(watch.next_tick());
}

TEST_F(PeerWatch, WhoAnswersWithinTheVerdictNeverDiesWhateverTheRhythm) {
  for (uint32_t seed = 1; seed <= 50; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 chance{seed};
    peer_watch judge{{.heartbeat_period = 100ms, .silence_verdict = 1000ms}};
    judge.joined(1, first_life);
    judge.monitor(1);
    auto last_heard = now;
    for (int i = 0; i < 500; ++i) {
      now += std::chrono::milliseconds{chance() % 300};
      EXPECT_TRUE(judge.tick(now).dead.empty());
      if (chance() % 3 == 0 || now - last_heard > 600ms) {
        judge.heard(1, first_life);
        last_heard = now;
      }
    }
  }
}
