#include "runtime/pipeline/lane_choice.hpp"

#include <gtest/gtest.h>

#include <algorithm>

using namespace troupe;

namespace {

using namespace std::chrono_literals;

/// A rank of which a step of n rows computes `fixed` + n `per_row` and then is
/// away for `latency`; k of them are out at once.
struct machine {
  double fixed = 0;
  double per_row = 0;
  double latency = 0;

  double step(double rows, uint32_t k) const {
    auto compute = fixed + per_row * rows / k;
    return std::max(compute * k, compute + latency);
  }

  double waited(double rows, uint32_t k) const {
    return latency / step(rows, k);
  }
};

/// Serves `rows` that decode for a while. Returns the time it took, in units
/// of what the best k would have taken.
class rank {
public:
  rank(machine x, uint32_t most) : x_(x), most_(most), choice_(most) {
  }

  double run(uint32_t rows, int rounds) {
    double took = 0;
    for (int i = 0; i < rounds; ++i) {
      auto k = choice_.lanes_for(rows, prompts_);
      lanes_ = k;
      auto time = x_.step(rows, k);
      took += time;
      for (uint8_t lane = 0; lane < k; ++lane)
        choice_.began(lane, now_, prompts_);
      now_ += of(time);
      for (uint8_t lane = 0; lane < k; ++lane)
        choice_.ended(lane, now_, double(rows) / k, of(x_.latency));
    }
    double best = x_.step(rows, 1);
    for (uint32_t k = 2; k <= std::min(most_, rows); ++k)
      best = std::min(best, x_.step(rows, k));
    return took / (best * rounds);
  }

  uint32_t lanes() const {
    return lanes_;
  }

  /// From now on it is another one.
  void become(machine x) {
    x_ = x;
  }

  void know(double of_step) {
    choice_.know(of_step);
  }

  /// From now on there are prompts, or none.
  void take_prompts(bool x) {
    prompts_ = x;
  }

private:
  static lane_choice::duration of(double seconds) {
    return std::chrono::duration_cast<lane_choice::duration>(
      std::chrono::duration<double>(seconds));
  }

  machine x_;
  uint32_t most_;
  lane_choice choice_;
  clock::instant now_{};
  uint32_t lanes_ = 0;
  bool prompts_ = false;
};

constexpr int many = 64 * 1000;

} // namespace

TEST(LaneChoice, StaysWithOneWhereNothingIsAway) {
  rank x{{1e-3, 1e-4, 0}, 4};
  EXPECT_NEAR(x.run(32, many), 1, 1e-6);
  EXPECT_EQ(x.lanes(), 1u);
}

TEST(LaneChoice, FindsWhatHidesTheWire) {
  rank x{{1e-4, 1e-4, 2e-3}, 4};
  EXPECT_LT(x.run(32, many), 1.03);
  EXPECT_GE(x.lanes(), 2u);
}

TEST(LaneChoice, LeavesStepsWholeIfHalvesCostAsMuch) {
  rank x{{2e-3, 1e-6, 5e-4}, 4};
  EXPECT_LT(x.run(32, many), 1.03);
  EXPECT_EQ(x.lanes(), 1u);
}

/// Halves cost nearly as much as the whole: each trial is a loss that no
/// number of steps makes up for.
TEST(LaneChoice, TriesLessAndLessOftenWhatIsInVain) {
  rank x{{2e-3, 1e-6, 5e-4}, 2};
  auto trials_in = [&](int rounds) {
    int out = 0;
    for (int i = 0; i < rounds; ++i) {
      auto before = x.lanes();
      x.run(32, 1);
      out += before == 1 && x.lanes() == 2;
    }
    return out;
  };
  auto early = trials_in(many / 4);
  trials_in(many);
  auto late = trials_in(many / 4);
  EXPECT_GE(early, 3);
  EXPECT_EQ(late, 1);
  EXPECT_LT(x.run(32, many), 1.001);
}

/// More than is waited for cannot be hidden.
TEST(LaneChoice, TriesNothingThatCostsMoreThanItHides) {
  rank x{{2e-3, 1e-6, 5e-4}, 2};
  x.know(2e-3);
  for (int i = 0; i < many; ++i) {
    x.run(32, 1);
    ASSERT_EQ(x.lanes(), 1u);
  }
  rank far{{1e-4, 1e-4, 2e-3}, 2};
  far.know(1e-4);
  EXPECT_LT(far.run(32, many), 1.03);
  EXPECT_EQ(far.lanes(), 2u);
}

TEST(LaneChoice, GivesUpATrialThatDoesClearlyWorse) {
  rank x{{2e-3, 1e-6, 5e-4}, 2};
  int longest = 0;
  int now = 0;
  for (int i = 0; i < many; ++i) {
    x.run(32, 1);
    now = x.lanes() == 2 ? now + 1 : 0;
    longest = std::max(longest, now);
  }
  EXPECT_EQ(longest, 4);
}

TEST(LaneChoice, NeverUsesMoreThanThereAreRowsOrLanes) {
  rank alone{{1e-4, 1e-4, 2e-3}, 4};
  alone.run(1, 1000);
  EXPECT_EQ(alone.lanes(), 1u);
  rank two{{0, 1e-4, 1}, 2};
  for (int i = 0; i < 1000; ++i) {
    two.run(32, 1);
    EXPECT_LE(two.lanes(), 2u);
  }
}

TEST(LaneChoice, LearnsForEachSizeByItself) {
  rank x{{1e-3, 1e-4, 2e-3}, 2};
  for (int i = 0; i < 20; ++i) {
    x.run(4, 3000);
    x.run(60, 3000);
  }
  auto small = x.run(4, many);
  EXPECT_LT(small, 1.03);
  EXPECT_LT(x.run(60, many), 1.03);
  EXPECT_EQ(x.lanes(), 2u);
}

/// They come in pieces of all sizes, none of which ever fills a window.
TEST(LaneChoice, LearnsFromPromptsWhateverTheSizesOfTheirSteps) {
  rank x{{1e-3, 1e-4, 2e-2}, 2};
  x.take_prompts(true);
  for (int i = 0; i < 200; ++i)
    for (uint32_t rows : {512u, 300u, 90u, 20u})
      x.run(rows, 1);
  EXPECT_EQ(x.lanes(), 2u);
}

/// As it is in a service: prompts come between steps of decoding, and requests
/// come and go across a power of two.
TEST(LaneChoice, LearnsFromKindsThatTakeTurns) {
  rank x{{1e-4, 1e-5, 2e-3}, 2};
  for (int i = 0; i < 2000; ++i) {
    x.take_prompts(true);
    x.run(100, 1);
    x.take_prompts(false);
    x.run(15, 2);
    x.run(17, 3);
  }
  EXPECT_LT(x.run(15, 50), 1.03);
  EXPECT_LT(x.run(17, 50), 1.03);
  x.take_prompts(true);
  EXPECT_LT(x.run(100, 50), 1.03);
  EXPECT_EQ(x.lanes(), 2u);
}

/// A step that began before k changed says nothing of either.
TEST(LaneChoice, DoesNotTakeStepsOfAnotherKForItsOwn) {
  constexpr double quick = 1e-9, slow = 1;
  lane_choice x{2};
  clock::instant now{};
  auto step = [&](uint8_t lane, double cost, auto time, auto away) {
    now += time;
    x.ended(lane, now, cost, away);
  };
  // One lane until its window is full, with so much away that two are tried.
  while (x.lanes_for(8, false) == 1) {
    x.began(0, now, false);
    x.began(1, now, false); // still out when two are tried
    step(0, slow, 1ms, 1ms);
  }
  x.lanes_for(8, false);
  for (int i = 0; i < 100; ++i) {
    ASSERT_EQ(x.lanes_for(8, false), 2u);
    step(1, quick, 1h, 1h); // begun with one
  }
  for (int i = 0; i < 64; ++i) {
    auto k = x.lanes_for(8, false);
    for (uint8_t lane = 0; lane < k; ++lane)
      x.began(lane, now, false);
    for (uint8_t lane = 0; lane < k; ++lane)
      step(lane, slow / k, 300us, 300us);
  }
  EXPECT_EQ(x.lanes_for(8, false), 2u);
}

/// A window that began before a rest would have taken very long.
TEST(LaneChoice, DoesNotCountRests) {
  lane_choice x{2};
  clock::instant now{};
  for (int i = 0; i < 20000; ++i) {
    auto k = x.lanes_for(8, false);
    ASSERT_EQ(k, 1u) << "nothing was away";
    x.began(0, now, false);
    now += 1ms;
    x.ended(0, now, 8, {});
    if (i % 7 == 0) {
      x.rest();
      now += 1h;
    }
  }
}

// What a k did in other steps says nothing of these: two are better in both.
TEST(LaneChoice, TakesNoOldExperienceForATrial) {
  rank x{{1e-4, 2e-5, 2e-3}, 2};
  x.take_prompts(true);
  EXPECT_LT(x.run(512, 5000), 1.002);
  EXPECT_LT(x.run(40, 20'000), 1.002);
  rank y{{5e-4, 3e-5, 1e-3}, 2};
  EXPECT_LT(y.run(63, 8000), 1.002);
  EXPECT_LT(y.run(33, 20'000), 1.002);
}

// Trials have become rare by then.
TEST(LaneChoice, NoticesThatTheMachineIsAnotherOne) {
  rank x{{2e-3, 2e-4, 1e-3}, 2};
  x.run(40, 100'000);
  EXPECT_EQ(x.lanes(), 1u);
  x.become({2e-3, 2e-4, 8e-3});
  x.run(40, 3000);
  EXPECT_EQ(x.lanes(), 2u);
}

TEST(LaneChoice, LearnsNothingOfAStepThatTurnsOutToBeOfAnotherKind) {
  lane_choice x{2};
  clock::instant now{};
  for (int i = 0; i < 10'000; ++i) {
    ASSERT_EQ(x.lanes_for(8, false), 1u);
    x.began(0, now, true);
    now += 1ms;
    x.ended(0, now, 8, 900us); // overlap would pay
  }
}
