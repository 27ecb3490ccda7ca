/// What a measurement comes to, in numbers that can be followed by hand.

#include "runtime/bench/load_picture.hpp"
#include "runtime/bench/load_summary.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace troupe::bench {

namespace {

using std::chrono::milliseconds;

/// Meant for `intended`, first piece after 100 ms, then one every 20 ms.
call_record whole(milliseconds intended, size_t num_pieces,
                  uint32_t num_tokens) {
  call_record x;
  x.intended = x.due = x.sent = intended;
  x.first = intended + milliseconds{100};
  x.gaps.assign(num_pieces - 1, 0.02f);
  x.end = *x.first + milliseconds{20} * (num_pieces - 1);
  x.prompt_tokens = 10;
  x.output_tokens = num_tokens;
  x.is_counted = true;
  return x;
}

TEST(Distribution, GoesInAStraightLineBetweenTwoValues) {
  auto x = describe({4, 1, 3, 2, 5});
  EXPECT_EQ(x.count, 5u);
  EXPECT_DOUBLE_EQ(x.mean, 3);
  EXPECT_DOUBLE_EQ(x.deviation, std::sqrt(2.0));
  EXPECT_DOUBLE_EQ(x.p50, 3);
  EXPECT_DOUBLE_EQ(x.p90, 4.6);
  EXPECT_DOUBLE_EQ(x.p95, 4.8);
  EXPECT_DOUBLE_EQ(x.p99, 4.96);
  EXPECT_DOUBLE_EQ(x.most, 5);
  EXPECT_DOUBLE_EQ(describe({7}).p99, 7);
  EXPECT_EQ(describe({}).count, 0u);
}

TEST(LoadSummary, CountsWhatWasCompletedAndWhatFailed) {
  auto a = whole(milliseconds{0}, 5, 5), b = whole(milliseconds{500}, 3, 5);
  auto failed = whole(milliseconds{10}, 2, 2);
  failed.error = "status 429";
  failed.why = "too busy";
  auto sum = summarise({a, b, failed}, {}, {0.0f, 0.5f});
  EXPECT_EQ(sum.completed, 2u);
  EXPECT_EQ(sum.failed, 1u);
  ASSERT_TRUE(sum.errors.contains("status 429"));
  EXPECT_EQ(sum.errors["status 429"].count, 1u);
  EXPECT_EQ(sum.errors["status 429"].example, "too busy");
  EXPECT_EQ(sum.prompt_tokens, 20u);
  EXPECT_EQ(sum.output_tokens, 10u);
  EXPECT_EQ(sum.pieces, 8u);
  EXPECT_EQ(sum.most_running, 2u);
  EXPECT_NEAR(sum.duration, 0.64, 1e-9);
  EXPECT_NEAR(sum.per_second(double(sum.output_tokens)), 10 / 0.64, 1e-9);
  EXPECT_NEAR(sum.ttft.p50, 0.1, 1e-9);
  EXPECT_NEAR(sum.tpot.most, 0.02, 1e-6);  // 80 ms for 4 tokens
  EXPECT_NEAR(sum.tpot.mean, 0.015, 1e-6); // and 40 ms for 4
  EXPECT_EQ(sum.itl.count, 6u);
  EXPECT_NEAR(sum.e2el.most, 0.18, 1e-9);
  EXPECT_NEAR(sum.late_loop.most, 0.5, 1e-9);
}

TEST(LoadSummary, LatencyCountsFromTheIntendedArrival) {
  auto x = whole(milliseconds{1000}, 3, 3);
  x.intended = milliseconds{400};
  x.due = milliseconds{900};
  auto sum = summarise({x}, {}, {});
  EXPECT_NEAR(sum.ttft.p50, 0.7, 1e-9);
  EXPECT_NEAR(sum.e2el.p50, 0.74, 1e-9);
  EXPECT_NEAR(sum.late_sends.p50, 0.1, 1e-9);
  EXPECT_NEAR(sum.tpot.p50, 0.02, 1e-6);
}

TEST(Goodput, IsOfThoseThatKeepEveryLimit) {
  auto x = whole(milliseconds{0}, 5, 5); // 100 ms, 20 ms, 180 ms
  auto meets = [&](const char* text) {
    auto limits = goodput_limits::parse(text);
    EXPECT_TRUE(limits) << text;
    return limits->met_by(x);
  };
  EXPECT_TRUE(meets("ttft:100ms"));
  EXPECT_FALSE(meets("ttft:99.9ms"));
  EXPECT_TRUE(meets("tpot:21ms,ttft:0.2s"));
  EXPECT_FALSE(meets("tpot:19,ttft:200")); // ms
  EXPECT_TRUE(meets("e2el:180 tpot:25"));
  EXPECT_FALSE(meets("e2el:0.1s"));
  auto sum = summarise({x, x}, *goodput_limits::parse("ttft:1s"), {});
  EXPECT_EQ(sum.good, 2u);
  x.error = "cut";
  EXPECT_FALSE(meets("ttft:1s"));
  for (auto text : {"", "ttft", "ttft:", "ttft:x", "ttft:1s,ttft:2s", "x:1s",
                    "ttft:1s,", "ttft:-1"})
    EXPECT_FALSE(goodput_limits::parse(text)) << text;
}

TEST(LoadPicture, HasACurveForEachLatencyAndEscapesItsTitle) {
  auto svg = draw_load(
    {whole(milliseconds{0}, 5, 5), whole(milliseconds{30}, 3, 3)}, "a<b & c");
  EXPECT_TRUE(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
  for (auto name :
       {"first token", "per token", "between pieces", "whole request",
        "tokens a second", "running requests", "a&lt;b &amp; c", "100 ms"})
    EXPECT_NE(svg.find(name), svg.npos) << name;
  for (auto bad : {"nan", "inf"})
    EXPECT_EQ(svg.find(bad), svg.npos) << bad;
  EXPECT_TRUE(draw_load({}, "nothing").ends_with("</svg>\n"));
}

} // namespace

} // namespace troupe::bench
