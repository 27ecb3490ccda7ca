/// Which cases flags of a bench make, who takes part in them, and what is
/// claimed for them.

#include "deploy/bench_cases.hpp"

#include <gtest/gtest.h>

namespace {

using namespace troupe;

bench_options some_options() {
  bench_options out;
  out.prompts = {{512, 4}};
  out.depths = {0};
  out.batches = {32};
  out.lane_batches = {16};
  out.micro_batches = {"1", "2", "3", "auto"};
  return out;
}

std::vector<size_t> companies_of(const bench_case& x) {
  std::vector<size_t> out;
  for (auto& series : x.actors)
    out.push_back(series.company);
  return out;
}

} // namespace

TEST(BenchCases, APromptIsALengthOrSeveralOfIt) {
  EXPECT_EQ(parse_bench_prompt("512")->length, 512u);
  EXPECT_EQ(parse_bench_prompt("512")->count, 1u);
  EXPECT_EQ(parse_bench_prompt("4x512")->length, 512u);
  EXPECT_EQ(parse_bench_prompt("4x512")->count, 4u);
  EXPECT_EQ(parse_bench_prompt("0")->length, 0u);
  for (auto text :
       {"", "x", "4x", "x5", "0x5", "1025x5", "1048577", "-1", "4x512x", "5 "})
    EXPECT_FALSE(parse_bench_prompt(text)) << text;
}

TEST(BenchCases, WithoutFlagsOfACompanyThereIsOneInAllCases) {
  bench_options o;
  auto all = list_companies(o);
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].name(), "actors");
  EXPECT_FALSE(o.compares());
  auto cases = list_cases(o, all, 1);
  ASSERT_EQ(cases.size(), 2u + 3 * 3);
  for (auto& x : cases)
    EXPECT_EQ(companies_of(x), std::vector<size_t>{0});
  EXPECT_EQ(cases[1].steps, 4);
}

TEST(BenchCases, ALaneBatchIsOneForEachLaneOfEachRank) {
  auto o = some_options();
  auto all = list_companies(o);
  auto cases = list_cases(o, all, 2);
  ASSERT_EQ(cases.size(), 5u);
  EXPECT_EQ(cases[0].name(), "prefill 4x512");
  EXPECT_EQ(companies_of(cases[1]), (std::vector<size_t>{0, 1, 2, 3}));
  EXPECT_EQ(cases[2].batch, 32u);
  EXPECT_EQ(companies_of(cases[2]), (std::vector<size_t>{0, 3}));
  EXPECT_EQ(cases[3].batch, 64u);
  EXPECT_EQ(companies_of(cases[3]), std::vector<size_t>{1});
  EXPECT_EQ(cases[4].batch, 96u);
  EXPECT_EQ(companies_of(cases[4]), std::vector<size_t>{2});
}

TEST(BenchCases, ACompanyClaimsWhatItsCasesNeedButForWhatFlagsSay) {
  auto o = some_options();
  auto all = list_companies(o);
  auto cases = list_cases(o, all, 1);
  ASSERT_TRUE(claim_for(all[2], 2, o, cases, 1));
  EXPECT_EQ(all[2].flags.max_num_seqs, 32u);
  EXPECT_EQ(all[2].flags.max_num_batched_tokens, 512u);
  EXPECT_GE(*all[2].flags.num_kv_blocks, 4 * 9u);
  EXPECT_GE(*all[2].flags.max_model_len, 513u);
  all[2].flags.max_num_seqs = 16;
  EXPECT_TRUE(claim_for(all[2], 2, o, cases, 1));
  EXPECT_EQ(all[2].flags.max_num_seqs, 16u);
  all[0].flags.max_num_seqs = 16; // one lane, and a batch of 32
  auto refused = claim_for(all[0], 0, o, cases, 1);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.why().code, errc::invalid_input);
  EXPECT_TRUE(claim_for(all[0], 0, o, cases, 2));
}

TEST(BenchCases, PercentilesAreThoseOfTheRounds) {
  bench_series x;
  for (int i = 11; i > 0; --i) {
    x.seconds.push_back(i);
    x.floors.push_back(1);
  }
  EXPECT_EQ(x.tenth_seconds(), 2);
  EXPECT_EQ(x.median_seconds(), 6);
  x.seconds = {5, 3};
  EXPECT_EQ(x.tenth_seconds(), 3);
  EXPECT_EQ(bench_series{}.tenth_seconds(), 0);
}
