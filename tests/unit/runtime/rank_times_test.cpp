#include "runtime/batching/rank_times.hpp"

#include <gtest/gtest.h>

using namespace troupe;
using namespace std::chrono_literals;

namespace {

batch rows_of(std::vector<std::pair<uint32_t, uint32_t>> first_and_count) {
  batch out;
  for (auto [first, count] : first_and_count) {
    auto& x = out.sequences.emplace_back();
    x.first_position = first;
    x.tokens.resize(count);
  }
  return out;
}

} // namespace

TEST(RankTimes, TellWhoDecodesFromWhoReads) {
  auto x = rank_times::load_of(rows_of({{99, 1}, {49, 1}, {10, 3}}));
  EXPECT_EQ(x.requests, 2u);
  EXPECT_EQ(x.kv_tokens, 150u);
  EXPECT_EQ(x.prompt_tokens, 3u);
  EXPECT_EQ(x.pairs, 11 + 12 + 13);
}

TEST(RankTimes, TellTheirPartsApart) {
  rank_times x;
  EXPECT_FALSE(x.decoding());
  EXPECT_FALSE(x.prompts());
  for (uint32_t i = 0; i < 90; ++i) {
    rank_times::load load{1 + i % 7, 100 + 1000 * (i % 5), 0, 0};
    auto took = 10ms + load.requests * 500us + load.kv_tokens * 200ns;
    if (i >= 30 && i % 2 == 0) {
      load.prompt_tokens = 10 + i % 11;
      load.pairs = double(load.prompt_tokens) * (1 + i % 13);
      took += 5ms + load.prompt_tokens * 30us
              + std::chrono::nanoseconds{int64_t(load.pairs * 700)};
    }
    x.add(load, took);
  }
  auto decoding = x.decoding();
  ASSERT_TRUE(decoding);
  EXPECT_NEAR(decoding->step, 10e-3, 1e-5);
  EXPECT_NEAR(decoding->each.request, 500e-6, 1e-6);
  EXPECT_NEAR(decoding->each.kv_token, 200e-9, 1e-9);
  auto prompts = x.prompts();
  ASSERT_TRUE(prompts);
  EXPECT_NEAR(prompts->token, 30e-6, 3e-6);
  EXPECT_NEAR(prompts->pair, 700e-9, 70e-9);
}
