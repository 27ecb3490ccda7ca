#include "runtime/batching/decode_times.hpp"

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

TEST(DecodeTimes, CountsWhoDecodesAndTheirTokens) {
  auto x = decode_times::load_of(rows_of({{99, 1}, {49, 1}}));
  EXPECT_EQ(x.requests, 2u);
  EXPECT_EQ(x.kv_tokens, 150u);
  EXPECT_EQ(decode_times::load_of(rows_of({{99, 1}, {0, 2}})).requests, 0u)
    << "somebody reads a prompt";
}

TEST(DecodeTimes, TellsTheThreePartsApart) {
  decode_times x;
  EXPECT_FALSE(x.per_part());
  for (uint32_t i = 0; i < 60; ++i) {
    decode_times::load load{1 + i % 7, 100 + 1000 * (i % 5)};
    x.add(load, 10ms + load.requests * 500us + load.kv_tokens * 200ns);
    x.add({0, 0}, 1s);
  }
  auto prices = x.per_part();
  ASSERT_TRUE(prices);
  EXPECT_NEAR(prices->step, 10e-3, 1e-5);
  EXPECT_NEAR(prices->each.request, 500e-6, 1e-6);
  EXPECT_NEAR(prices->each.kv_token, 200e-9, 1e-9);
}
