#include "runtime/balance/decode_balancer.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

namespace troupe::balance {
namespace {

const decode_prices prices{50e-6, 50e-9};

double slowest(const std::vector<decode_rank>& ranks) {
  double out = 0;
  for (auto& x : ranks)
    out = std::max(out, x.seconds(prices));
  return out;
}

struct company {
  std::vector<decode_rank> ranks;
  std::vector<decode_request> requests;
};

/// Requests of very different lengths, wherever they happened to go.
company made(uint64_t seed) {
  std::mt19937_64 rng{seed};
  company out;
  out.ranks.resize(2 + rng() % 12);
  auto count = rng() % 300;
  for (uint64_t id = 0; id < count; ++id) {
    auto rank = uint32_t(rng() % out.ranks.size());
    auto tokens = uint64_t(1) << (4 + rng() % 12);
    out.requests.push_back({id, rank, tokens});
    ++out.ranks[rank].requests;
    out.ranks[rank].kv_tokens += tokens;
  }
  return out;
}

TEST(DecodeBalancer, PlacesWhereRequestsAndTokensTogetherTakeLeast) {
  decode_balancer balancer{prices};
  // 10 requests weigh as much as 10,000 tokens.
  std::vector<decode_rank> ranks{{20, 5'000}, {10, 10'000}, {5, 30'000}};
  EXPECT_EQ(balancer.place(ranks, 100), 1u);
  balancer.reprice({0, 50e-9});
  EXPECT_EQ(balancer.place(ranks, 100), 0u);
  balancer.reprice({50e-6, 0});
  EXPECT_EQ(balancer.place(ranks, 100), 2u);
}

TEST(DecodeBalancer, PlacesOnlyWhereThereIsRoom) {
  decode_balancer balancer{prices};
  std::vector<decode_rank> ranks{{1, 900, 8, 1000}, {2, 500, 2, 1000}};
  EXPECT_EQ(balancer.place(ranks, 100), 0u);
  EXPECT_EQ(balancer.place(ranks, 101), std::nullopt);
  EXPECT_EQ(balancer.place(ranks, UINT64_MAX), std::nullopt);
  EXPECT_EQ(balancer.place({}, 1), std::nullopt);
}

TEST(DecodeBalancer, MovesKeepToTheirCapsAndEachMakesTheSlowestFaster) {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    SCOPED_TRACE(seed);
    auto x = made(seed);
    auto had = slowest(x.ranks);
    decode_caps caps{3, 20'000, 0.02};
    auto moves = decode_balancer{prices, caps}.plan_moves(x.ranks, x.requests);
    EXPECT_LE(moves.size(), 3u);
    std::set<uint64_t> moved;
    uint64_t copied = 0;
    for (auto& m : moves) {
      EXPECT_TRUE(moved.insert(m.id).second);
      EXPECT_EQ(x.requests[m.id].rank, m.from);
      copied += m.kv_tokens;
      EXPECT_NEAR(m.before, slowest(x.ranks), 1e-12);
      --x.ranks[m.from].requests;
      x.ranks[m.from].kv_tokens -= m.kv_tokens;
      ++x.ranks[m.to].requests;
      x.ranks[m.to].kv_tokens += m.kv_tokens;
      EXPECT_NEAR(m.after,
                  std::max(x.ranks[m.from].seconds(prices),
                           x.ranks[m.to].seconds(prices)),
                  1e-12);
      EXPECT_LE(m.after, 0.98 * m.before);
    }
    EXPECT_LE(copied, 20'000u);
    EXPECT_LE(slowest(x.ranks), had);
  }
}

TEST(DecodeBalancer, WithoutCapsRanksBecomeAlike) {
  for (uint64_t seed = 0; seed < 50; ++seed) {
    SCOPED_TRACE(seed);
    auto x = made(seed);
    decode_caps caps{1000, UINT64_MAX, 1e-9};
    for (auto& m :
         decode_balancer{prices, caps}.plan_moves(x.ranks, x.requests)) {
      --x.ranks[m.from].requests;
      x.ranks[m.from].kv_tokens -= m.kv_tokens;
      ++x.ranks[m.to].requests;
      x.ranks[m.to].kv_tokens += m.kv_tokens;
    }
    double sum = 0, largest = 0;
    for (auto& r : x.ranks)
      sum += r.seconds(prices);
    for (auto& r : x.requests)
      largest = std::max(largest, prices.request
                                    + prices.kv_token * double(r.kv_tokens));
    EXPECT_LE(slowest(x.ranks), sum / double(x.ranks.size()) + largest);
  }
}

TEST(DecodeBalancer, WhatDoesNotPayStays) {
  std::vector<decode_rank> ranks{{2, 1000}, {1, 990}};
  std::vector<decode_request> requests{{1, 0, 500}, {2, 0, 500}, {3, 1, 990}};
  decode_balancer balancer{prices};
  EXPECT_TRUE(balancer.plan_moves(ranks, requests).empty());
  EXPECT_TRUE(balancer.plan_moves({}, {}).empty());
}

} // namespace
} // namespace troupe::balance
