#include "runtime/sim/world.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <set>

using namespace troupe;
using namespace std::chrono_literals;

namespace {

using numbers = std::vector<int>;

class SimWorld : public testing::Test {
protected:
  job add(int x) {
    return [this, x] { seen.push_back(x); };
  }

  void run() {
    while (w.step()) {
    }
  }

  world w{1};
  life_id a = w.begin_life(1), b = w.begin_life(2);
  numbers seen;
};

/// Actors that hand work to each other, drawing who is next.
std::pair<uint64_t, numbers> play(uint64_t seed) {
  world w{seed};
  auto chance = w.stream("play");
  numbers order;
  std::vector<life_id> lives;
  for (node_id i = 0; i < 5; ++i)
    lives.push_back(w.begin_life(i));
  std::function<void(int)> work = [&](int x) {
    order.push_back(x);
    w.record({.kind = trace_kind::message_run, .a = uint64_t(x)});
    if (order.size() > 500)
      return;
    w.make_ready(lives[x], [&, x] { work((x + 1) % 5); });
    w.after(lives[x], chance.exponential(1ms), [&, x] { work(x); });
  };
  for (int i = 0; i < 5; ++i)
    w.make_ready(lives[i], [&, i] { work(i); });
  w.run_for(20ms);
  return {w.trace().hash(), order};
}

} // namespace

TEST_F(SimWorld, OneSeedIsOneStoryAndAnotherSeedIsAnother) {
  auto [hash, order] = play(7);
  EXPECT_GT(order.size(), 100u);
  EXPECT_EQ(play(7).first, hash);
  EXPECT_EQ(play(7).second, order);
  EXPECT_NE(play(8).first, hash);
  EXPECT_NE(play(8).second, order);
}

TEST_F(SimWorld, EventsComeInOrderOfTimeThenAsTheyWereAskedFor) {
  w.at(a, world_begin + 2s, add(3));
  w.at(b, world_begin + 1s, add(1));
  w.at(world_begin + 1s, add(2));
  w.at(world_begin - 5s, add(0));
  run();
  EXPECT_EQ(seen, (numbers{0, 1, 2, 3}));
  EXPECT_EQ(w.now(), world_begin + 2s);
}

TEST_F(SimWorld, WhatIsAskedForAtOnceComesAfterAllThatWasDueThen) {
  w.at(a, world_begin + 1s, [this] {
    seen.push_back(0);
    w.at(a, w.now(), add(3));
    w.pause(1);
    w.at(b, w.now() - 5s, add(4));
    w.after(b, 1ns, [this] {
      w.resume(1);
      w.at(b, w.now(), add(8));
    });
  });
  w.at(b, world_begin + 1s, add(2));
  w.at(a, world_begin + 1s, add(7));
  run();
  EXPECT_EQ(seen, (numbers{0, 2, 4, 7, 3, 8}));
}

TEST(Fifo, KeepsItsOrderWhileItGrowsAndShrinks) {
  fifo<std::unique_ptr<int>> x;
  int in = 0, out = 0;
  for (int round = 0; round < 400; ++round) {
    for (int i = 0; i < round % 7 + 1; ++i)
      x.push(std::make_unique<int>(in++));
    for (int i = 0; i < round % 5 && !x.empty(); ++i)
      ASSERT_EQ(*x.pop(), out++);
    ASSERT_EQ(x.size(), size_t(in - out));
  }
  while (!x.empty())
    ASSERT_EQ(*x.pop(), out++);
  EXPECT_EQ(in, out);
}

TEST_F(SimWorld, WhatIsReadyRunsBeforeTimeGoesOnInTheOrderOfTheSeed) {
  std::set<numbers> orders;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    world other{seed};
    seen.clear();
    auto life = other.begin_life(1);
    other.at(life, other.now(), add(9));
    for (int i = 0; i < 5; ++i)
      other.make_ready(life, add(i));
    while (other.step()) {
    }
    ASSERT_EQ(seen.size(), 6u);
    EXPECT_EQ(seen.back(), 9);
    orders.insert(seen);
  }
  EXPECT_GT(orders.size(), 10u);
}

TEST_F(SimWorld, CancelledEventsNeverComeAndTheirIdsTouchNoOther) {
  auto first = w.after(a, 1s, add(1));
  w.cancel(first);
  w.cancel(first);
  w.after(a, 2s, add(2));
  run();
  auto later = w.after(a, 1s, add(3));
  w.cancel(first);
  EXPECT_NE(later, first);
  run();
  EXPECT_EQ(seen, (numbers{2, 3}));
  w.cancel(later);
  EXPECT_EQ(w.num_waiting(), 0u);
}

TEST_F(SimWorld, ManyCancelledEventsAreForgottenAndTheRestKeepsItsOrder) {
  std::vector<event_id> ids;
  for (int i = 0; i < 10000; ++i)
    ids.push_back(w.after(a, std::chrono::milliseconds{i * 7 % 100}, add(i)));
  for (int i = 0; i < 10000; ++i)
    if (i % 10 != 0)
      w.cancel(ids[i]);
  EXPECT_EQ(w.num_waiting(), 1000u);
  run();
  ASSERT_EQ(seen.size(), 1000u);
  for (size_t i = 1; i < seen.size(); ++i) {
    auto x = seen[i - 1] * 7 % 100, y = seen[i] * 7 % 100;
    EXPECT_TRUE(x < y || (x == y && seen[i - 1] < seen[i]));
  }
}

TEST_F(SimWorld, APausedNodeWaitsAndThenGoesOnInOrder) {
  w.make_ready(a, add(0));
  w.after(a, 1s, add(3));
  w.pause(1);
  w.make_ready(a, add(0));
  w.after(a, 2s, add(4));
  w.after(a, 500ms, add(2));
  w.after(a, 9s, add(6));
  auto gone = w.after(a, 1s, add(7));
  w.after(b, 3s, add(1));
  run();
  EXPECT_EQ(seen, numbers{1});
  EXPECT_EQ(w.now(), world_begin + 3s);
  w.cancel(gone);
  w.resume(1);
  w.after(a, 1s, add(5));
  run();
  EXPECT_EQ(seen, (numbers{1, 0, 0, 2, 3, 4, 5, 6}));
  EXPECT_EQ(w.now(), world_begin + 9s);
  EXPECT_EQ(w.num_waiting(), 0u);
}

TEST_F(SimWorld, ACrashDropsWhatTheNodeHadToDoAndNothingElse) {
  auto token = std::make_shared<int>();
  w.make_ready(a, [this, token] { seen.push_back(0); });
  w.after(a, 1s, [this, token] { seen.push_back(1); });
  w.at_end(a, add(11));
  w.at_end(a, add(10));
  w.pause(1);
  w.after(a, 2s, [this, token] { seen.push_back(2); });
  w.after(b, 1s, add(3));
  w.run_for(500ms);
  w.crash(1);
  EXPECT_EQ(token.use_count(), 1);
  EXPECT_FALSE(w.is_alive(a));
  EXPECT_EQ(w.life_of(1), no_life);
  EXPECT_EQ(w.after(a, 1s, add(4)), 0u);
  w.make_ready(a, add(5));
  auto next = w.begin_life(1);
  EXPECT_EQ(w.life_of(1), next);
  w.make_ready(next, add(6));
  w.crash(3); // Nobody.
  run();
  EXPECT_EQ(seen, (numbers{10, 11, 6, 3}));
  w.at_end(a, add(12));
  EXPECT_EQ(seen.back(), 12);
  EXPECT_EQ(w.trace().count(trace_kind::node_ended), 1u);
}

TEST_F(SimWorld, ALifeMayEndItselfAndWhatItDropsMaySpeak) {
  auto last_words = [this](life_id life) {
    return std::shared_ptr<void>{
      nullptr, [this, life](void*) { w.make_ready(life, add(1)); }};
  };
  w.after(a, 2s, [x = last_words(b)] {});
  w.after(a, 1s, [this, x = last_words(a)] {
    w.end_life(a);
    w.end_life(a);
  });
  run();
  EXPECT_EQ(seen, numbers{1});
  w.after(b, 1s, [x = last_words(b)] {});
}

TEST_F(SimWorld, ClocksOfNodesHaveOriginsAndRatesOfTheirOwn) {
  auto& fast = w.clock_of(a);
  auto& other = w.clock_of(b);
  fast.advance(10s);
  fast.set_drift(100'000);
  w.run_for(10s);
  EXPECT_EQ(fast.now(), world_begin + 21s);
  EXPECT_EQ(other.now(), w.now());
  fast.set_drift(-500'000);
  w.run_for(10s);
  EXPECT_EQ(fast.now(), world_begin + 26s);
  EXPECT_EQ(fast.to_world(fast.now() + 1s), w.now() + 2s);
  EXPECT_EQ(fast.to_world(fast.now() - 1s), w.now());
  EXPECT_GT(fast.to_world(clock::instant::max()), w.now() + 24h * 365);
}

TEST_F(SimWorld, ATimerSetByALocalClockNeverComesEarly) {
  auto chance = w.stream("drift");
  for (int i = 0; i < 1000; ++i) {
    auto& x = w.clock_of(a);
    x.set_drift(int64_t(chance.uniform(1'000'001)) - 500'000);
    auto due = x.now() + virtual_duration{int64_t(chance.uniform(1'000'000))};
    auto when = x.to_world(due);
    w.run_until(when);
    EXPECT_GE(x.now(), due);
    EXPECT_LE(x.now() - due, 3ns);
  }
}

TEST_F(SimWorld, SlownessIsOfANode) {
  w.slow(1, 3);
  w.slow(1, 2);
  EXPECT_EQ(w.slowness(1), 2);
  EXPECT_EQ(w.slowness(2), 1);
}

TEST_F(SimWorld, StreamsDependOnSeedAndNameAlone) {
  w.stream("x").next();
  EXPECT_EQ(w.stream("x").next(), world{1}.stream("x").next());
  EXPECT_NE(w.stream("x").next(), w.stream("y").next());
  EXPECT_NE(w.stream("x").next(), world{2}.stream("x").next());
}

TEST(RandomStream, IsUniformAndExponentialAsItSays) {
  random_stream x{5};
  EXPECT_EQ(random_stream{0}.next(), 0xe220a8397b1dcdafu);
  constexpr int n = 100000;
  double sum = 0, square = 0;
  int hits = 0, low = 0;
  for (int i = 0; i < n; ++i) {
    auto y = double(x.exponential(1ms).count()) / 1e6;
    sum += y;
    square += y * y;
    hits += x.chance(0.25);
    low += x.uniform(10) < 3;
  }
  EXPECT_NEAR(sum / n, 1, 0.02);
  EXPECT_NEAR(square / n, 2, 0.1);
  EXPECT_NEAR(double(hits) / n, 0.25, 0.01);
  EXPECT_NEAR(double(low) / n, 0.3, 0.01);
  EXPECT_FALSE(x.chance(0));
  EXPECT_TRUE(x.chance(1));
  EXPECT_EQ(x.exponential(0ms), 0ms);
}

TEST(Job, HoldsLargeAndSmallOnesAndLetsGoOfThemOnce) {
  auto token = std::make_shared<int>();
  std::array<std::byte, 200> large{};
  job x = [token, large] { *token += int(large.size()); };
  job y = [owner = std::make_unique<int>(3), token] { *token += *owner; };
  EXPECT_EQ(token.use_count(), 3);
  auto z = std::move(x);
  EXPECT_FALSE(x);
  z();
  y();
  EXPECT_EQ(*token, 203);
  z = std::move(y);
  EXPECT_EQ(token.use_count(), 2);
  z = {};
  EXPECT_EQ(token.use_count(), 1);
}
