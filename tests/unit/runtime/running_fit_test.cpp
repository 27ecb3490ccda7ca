#include "runtime/cost/running_fit.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

using namespace troupe;

namespace {

using amounts = running_fit::amounts;

TEST(RunningFit, KnowsNothingBeforeItHasSeenAny) {
  running_fit x;
  EXPECT_EQ(x.predict({1, 2, 3, 4}), 0);
  EXPECT_EQ(x.weight(), 0);
}

TEST(RunningFit, FindsWhatCasesAreMadeOf) {
  for (uint32_t seed = 1; seed <= 30; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random{seed};
    auto draw = [&](double most) {
      return most * double(random() % 1001) / 1e3;
    };
    amounts truth = {1e-5 + draw(1e-4), draw(1e-6), draw(1e-9), 0};
    running_fit x;
    for (int i = 0; i < 400; ++i) {
      amounts of = {1, std::floor(draw(512)), std::floor(draw(1e6)), 0};
      double y = 0;
      for (size_t k = 0; k < of.size(); ++k)
        y += truth[k] * of[k];
      x.add(of, y * (0.98 + draw(0.04)));
    }
    for (amounts of :
         {amounts{1, 1, 1, 0}, amounts{1, 512, 0, 0}, amounts{1, 64, 1e6, 0}}) {
      double y = 0;
      for (size_t k = 0; k < of.size(); ++k)
        y += truth[k] * of[k];
      EXPECT_NEAR(x.predict(of) / y, 1, 0.05);
    }
    EXPECT_EQ(x.per_part()[3], 0);
  }
}

TEST(RunningFit, IsExactWithoutNoise) {
  running_fit x{1};
  for (int i = 1; i <= 20; ++i)
    x.add({1, double(i), double(i * i % 7), 0},
          3 + 2.0 * i + 5.0 * (i * i % 7));
  EXPECT_NEAR(x.per_part()[0], 3, 1e-6);
  EXPECT_NEAR(x.per_part()[1], 2, 1e-6);
  EXPECT_NEAR(x.per_part()[2], 5, 1e-6);
}

/// Times that fall with the amount have no such parts.
TEST(RunningFit, IsNeverNegativeAndAlwaysANumber) {
  for (uint32_t seed = 1; seed <= 50; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random{seed};
    auto wild = [&] {
      switch (random() % 8) {
        case 0:
          return 0.0;
        case 1:
          return -1.0;
        case 2:
          return std::numeric_limits<double>::quiet_NaN();
        case 3:
          return std::numeric_limits<double>::infinity();
        default:
          return std::pow(10.0, double(random() % 24) - 12);
      }
    };
    running_fit x;
    for (int i = 0; i < 200; ++i) {
      x.add({1, wild(), wild(), wild()}, wild());
      for (auto part : x.per_part()) {
        ASSERT_GE(part, 0);
        ASSERT_TRUE(std::isfinite(part));
      }
    }
  }
  running_fit falling;
  for (int i = 1; i < 100; ++i)
    falling.add({1, double(i), 0, 0}, 1000.0 - i);
  EXPECT_EQ(falling.per_part()[1], 0);
  EXPECT_GT(falling.per_part()[0], 800);
}

TEST(RunningFit, OfPartsThatAreAlwaysTogetherTakesTheLast) {
  running_fit x;
  for (int i = 0; i < 10; ++i)
    x.add({1, 32, 0, 0}, 64);
  EXPECT_EQ(x.per_part()[0], 0);
  EXPECT_NEAR(x.per_part()[1], 2, 1e-9);
}

TEST(RunningFit, ForgetsWhatWasBefore) {
  running_fit x;
  for (int i = 1; i < 1000; ++i)
    x.add({1, double(i % 50), 0, 0}, 1 + i % 50);
  for (int i = 1; i < 1000; ++i)
    x.add({1, double(i % 50), 0, 0}, 10 * (1 + i % 50));
  EXPECT_NEAR(x.predict({1, 20, 0, 0}), 210, 2);
}

TEST(RunningFit, TheSameCasesGiveTheSameParts) {
  running_fit a, b;
  for (auto* x : {&a, &b})
    for (int i = 1; i < 100; ++i)
      x->add({1, double(i * 7 % 31), double(i % 5), 0}, 1 + i * 13 % 17);
  EXPECT_EQ(a.per_part(), b.per_part());
}

} // namespace
