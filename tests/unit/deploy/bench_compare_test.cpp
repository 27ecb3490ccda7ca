/// What overlap allows, in numbers that can be followed by hand: four layers
/// with experts, 2 ms one way, a step of 32 sequences that computes for 8 ms.

#include "deploy/bench_compare.hpp"

#include <gtest/gtest.h>

namespace {

using namespace troupe;

constexpr size_t bound = 3; ///< Behind k = 1, k = 2 and auto.

class BenchCompare : public testing::Test {
protected:
  BenchCompare() {
    auto& o = all.options;
    o.prompts.clear();
    o.depths = {0};
    o.batches = {32};
    o.lane_batches = {16};
    o.micro_batches = {"1", "2", "auto"};
    o.with_bound = true;
    o.num_steps = 10;
    o.cluster.links = {*parse_link_emulation("latency=2ms"),
                       *parse_link_emulation("latency=9ms,class=control")};
    all.num_moe_layers = 4;
    all.companies = list_companies(o);
    all.cases = list_cases(o, all.companies, 1);
    for (auto& x : all.cases)
      for (auto& series : x.actors)
        series.seconds = {0.2};
    at(0, bound).seconds = {0.08};
  }

  bench_series& at(size_t which, size_t company) {
    for (auto& x : all.cases.at(which).actors)
      if (x.company == company)
        return x;
    throw std::out_of_range{"does not take part"};
  }

  double allowed_ms(size_t which, size_t company) {
    auto& x = all.cases.at(which);
    auto rate = allowed_rate(all, x, at(which, company));
    return rate ? x.tokens / *rate / x.steps * 1000 : 0;
  }

  bench_report all;
};

} // namespace

TEST_F(BenchCompare, OneBatchMayHideItsLatencyBehindItsOtherParts) {
  EXPECT_NEAR(allowed_ms(0, 0), 16 + 8, 1e-9);
  EXPECT_NEAR(allowed_ms(0, 1), 16 + 4, 1e-9);
  EXPECT_NEAR(allowed_ms(0, 2), 16 + 4, 1e-9);
  EXPECT_EQ(allowed_ms(0, bound), 0);
  at(0, bound).seconds = {0.4}; // 40 ms hide all of it
  EXPECT_NEAR(allowed_ms(0, 1), 40, 1e-9);
}

TEST_F(BenchCompare, MoreLanesOfTheSameBatchComputeMore) {
  // Cases: 1 of one lane (k = 1, auto, the bound), 2 of two.
  at(1, bound).seconds = {0.05};
  EXPECT_NEAR(allowed_ms(1, 0), 16 + 5, 1e-9);
  EXPECT_NEAR(allowed_ms(1, 2), 16 + 5, 1e-9);
  EXPECT_NEAR(allowed_ms(2, 1), 16 + 5, 1e-9);
  at(1, bound).seconds = {0.3};
  EXPECT_NEAR(allowed_ms(2, 1), 60, 1e-9);
}

TEST_F(BenchCompare, GainIsAgainstTheFirstCompanyWithAsManyInALane) {
  at(0, 1).seconds = {0.1};
  EXPECT_NEAR(gain(all, all.cases[0], at(0, 1)), 2, 1e-9);
  at(2, 1).seconds = {0.25}; // twice the tokens
  EXPECT_NEAR(gain(all, all.cases[2], at(2, 1)), 1.6, 1e-9);
  EXPECT_NEAR(gain(all, all.cases[1], at(1, 0)), 1, 1e-9);
}

TEST_F(BenchCompare, WithoutTheBoundNothingIsKnownOfWhatIsAllowed) {
  all.companies.pop_back();
  EXPECT_FALSE(allowed_rate(all, all.cases[0], all.cases[0].actors[0]));
}
