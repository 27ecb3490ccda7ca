#include "runtime/balance/prefill_balancer.hpp"

#include <gtest/gtest.h>

#include <random>

namespace troupe::balance {
namespace {

const prefill_prices prices{1e-4, 1e-8, 1e-5};

TEST(PrefillPrices, TokensWithinATimeAreAsManyAsFit) {
  for (uint64_t first : {0, 1, 1000, 100'000})
    for (double limit : {1e-9, 1e-4, 0.01, 1.0, 30.0}) {
      auto n = prices.tokens_within(limit, first);
      EXPECT_LE(prices.seconds(first, n), limit);
      EXPECT_GT(prices.seconds(first, n + 1), limit * (1 - 1e-9));
    }
  EXPECT_EQ(prices.tokens_within(-1, 5), 0u);
}

TEST(PrefillPrices, AChunkBehindAnotherTakesWhatTheWholeTakesMore) {
  EXPECT_NEAR(prices.seconds(0, 700) + prices.seconds(700, 300),
              prices.seconds(0, 1000), 1e-12);
}

TEST(PrefillBalancer, WeighsAPrefixAgainstTheQueueBeforeIt) {
  prefill_balancer balancer{prices, 1, 16'384};
  prefill_balancer dear{{1e-4, 1e-8, 1}, 1, 16'384}; // Nothing is fetched.
  std::vector<uint32_t> cached{900, 0};
  std::vector<double> near{0.05, 0}, far{9, 0};
  EXPECT_EQ(dear.place(1000, near, cached, 0).rank, 0u);
  auto fetched = balancer.place(1000, far, cached, 0);
  EXPECT_EQ(fetched.rank, 1u);
  EXPECT_EQ(fetched.cached, 900u);
  EXPECT_EQ(fetched.fetched, 900u);
  auto here = dear.place(1000, far, cached, 0);
  EXPECT_EQ(here.rank, 1u);
  EXPECT_EQ(here.fetched, 0u);
  EXPECT_EQ(here.cached, 0u);
}

TEST(PrefillBalancer, ComputesAtLeastOneToken) {
  prefill_balancer balancer{prices, 1, 16'384};
  auto x = balancer.place(64, std::vector<double>{0}, std::vector<uint32_t>{64},
                          64);
  EXPECT_EQ(x.cached, 63u);
  EXPECT_NEAR(x.seconds, prices.seconds(63, 1), 1e-12);
}

TEST(PrefillBalancer, CutsBatchesToTheSameTimeWhateverLiesInTheQueues) {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 rng{seed};
    prefill_balancer balancer{prices, 1, 1'000'000};
    std::vector<prefill_prompt> queue(1 + rng() % 20);
    double all = 0;
    for (auto& x : queue) {
      x.tokens = 1 + uint32_t(rng() % 30'000);
      x.done = uint32_t(rng() % x.tokens);
      all += prices.seconds(x.done, x.tokens - x.done);
    }
    double seconds = 0;
    uint32_t next = 0;
    for (auto& c : balancer.cut(queue, 0.5)) {
      EXPECT_EQ(c.index, next++);
      EXPECT_EQ(c.first, queue[c.index].done);
      EXPECT_LE(c.first + c.count, queue[c.index].tokens);
      seconds += prices.seconds(c.first, c.count);
    }
    EXPECT_LE(seconds, 0.5);
    EXPECT_GE(seconds, std::min(all, 0.499) * (1 - 1e-9));
  }
}

TEST(PrefillBalancer, KeepsToTheTokensOfABatchAndAlwaysGoesOn) {
  prefill_balancer balancer{prices, 1, 100};
  std::vector<prefill_prompt> queue{{60, 0}, {60, 0}, {60, 0}};
  EXPECT_EQ(balancer.cut(queue, 1),
            (std::vector<prompt_chunk>{{0, 0, 60}, {1, 0, 40}}));
  EXPECT_EQ(balancer.cut(queue, 0), (std::vector<prompt_chunk>{{0, 0, 1}}));
  EXPECT_TRUE(balancer.cut({}, 1).empty());
}

TEST(PrefillBalancer, ABatchIsAsLongAsTheMeanRankCanFillIt) {
  prefill_balancer balancer{prices, 1, 100};
  EXPECT_EQ(balancer.next_batch(std::vector<double>{5, 0.5, 0}), 0.5);
  EXPECT_EQ(balancer.next_batch({}), 0);
}

} // namespace
} // namespace troupe::balance
