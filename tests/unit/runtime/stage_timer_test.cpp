#include "runtime/pipeline/stage_timer.hpp"

#include <gtest/gtest.h>

using namespace troupe;
using namespace std::chrono_literals;

namespace {

TEST(StageTimer, TellsTheMeanOfLayers) {
  clock::instant at{1s};
  stage_timer x{[&] { return at; }};
  x.begin_step();
  x.tare();
  for (auto took : {2ms, 4ms}) {
    at += 1s; // rows are away
    x.begin();
    at += took;
    x.end(stage::prepare);
    at += 7ms;
    x.end(stage::attention);
  }
  auto all = x.means();
  EXPECT_NEAR(all[size_t(stage::prepare)], 3e-3, 1e-12);
  EXPECT_NEAR(all[size_t(stage::attention)], 7e-3, 1e-12);
  EXPECT_EQ(all[size_t(stage::head)], 0) << "there was none";
  x.begin_step();
  EXPECT_EQ(x.means()[size_t(stage::prepare)], 0);
}

/// Whoever stands still to tell of it is that much slower.
TEST(StageTimer, LeavesOutWhatTellingTakes) {
  clock::instant at{1s};
  stage_timer x{[&] { return at; }};
  for (auto telling : {30us, 20us, 70us}) {
    x.begin_step();
    at += telling;
    x.tare();
    x.begin();
    at += 1ms + 20us;
    x.end(stage::route);
    at += 15us;
    x.end(stage::shared_expert);
  }
  EXPECT_NEAR(x.means()[size_t(stage::route)], 1e-3, 1e-12);
  EXPECT_EQ(x.means()[size_t(stage::shared_expert)], 0);
}

TEST(RunTimer, TellsOfTheLastRun) {
  clock::instant at{1s};
  run_timer x;
  x.set_time([&] { return at; });
  for (auto took : {5ms, 3ms}) {
    x.begin();
    at += took;
    x.end();
  }
  EXPECT_NEAR(x.seconds(), 3e-3, 1e-12);
}

TEST(TimingTurns, AreFewAndMeetEveryLayer) {
  timing_turns x;
  for (int i = 0; i < 16; ++i)
    EXPECT_TRUE(x.next());
  constexpr int num_layers = 58;
  std::array<int, num_layers> times = {};
  int sum = 0;
  for (int i = 16; i < 16 + 17 * num_layers; ++i)
    if (x.next()) {
      ++times[size_t(i % num_layers)];
      ++sum;
    }
  EXPECT_EQ(sum, num_layers);
  for (auto n : times)
    EXPECT_EQ(n, 1);
}

} // namespace
