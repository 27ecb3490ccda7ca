#include "runtime/cost/unit_machine.hpp"

#include "tests/places.hpp"

#include <gtest/gtest.h>

using namespace troupe;

namespace {

constexpr auto whole = R"([gpu]
multiprocessors = 100
narrow_flops = 1e15
product_slowdown = 2.0
per_kernel = "2us"
[low_latency]
rows = 100
fixed = "20us"
measured = [{ ranks = 8, dispatch = 120, combine = 220 },
            { ranks = 32, dispatch = 320, combine = 420 }]
[normal]
multiprocessors = 20
barrier = "1ms"
dispatch_slowdown = 1.5
measured = [{ ranks = 16, dispatch = 1e9, combine = 2e9 }]
)";

std::string refusal_of(std::string text) {
  auto x = parse_unit_machine(text, "m.toml");
  return x ? "" : x.why().message;
}

TEST(UnitMachine, SaysHowLongExchangesTake) {
  auto x = parse_unit_machine(whole, "m.toml");
  ASSERT_TRUE(x) << x.why().message;
  auto& fast = x->low_latency;
  using enum exchange_kind;
  EXPECT_NEAR(fast.seconds(dispatch, 8, 100), 120e-6, 1e-12);
  EXPECT_NEAR(fast.seconds(dispatch, 8, 50), 70e-6, 1e-12);
  EXPECT_NEAR(fast.seconds(combine, 16, 100), 320e-6, 1e-12); // half way
  EXPECT_NEAR(fast.seconds(combine, 64, 100), 420e-6, 1e-12);
  EXPECT_NEAR(fast.seconds(combine, 2, 0), 20e-6, 1e-12);
  EXPECT_NEAR(x->normal.seconds(dispatch, 16, 1e6), 2.5e-3, 1e-12);
  EXPECT_NEAR(x->normal.seconds(combine, 16, 1e6), 1.5e-3, 1e-12);
}

TEST(UnitMachine, WhatCommunicatesDoesNotCompute) {
  auto x = parse_unit_machine(whole, "m.toml");
  ASSERT_TRUE(x) << x.why().message;
  auto rates = x->rates_beside(20);
  EXPECT_NEAR(rates.narrow_flops, 0.4e15, 1);
  EXPECT_NEAR(rates.attention_flops, 0.8 * x->gpu.attention_flops, 1);
  EXPECT_EQ(rates.bytes_per_second, x->gpu.bytes_per_second);
  EXPECT_EQ(rates.per_kernel, 2e-6);
}

TEST(UnitMachine, RefusesWhatItDoesNotUnderstand) {
  auto said = [](std::string text, const char* what) {
    auto why = refusal_of(std::move(text));
    EXPECT_NE(why.find(what), std::string::npos) << why;
  };
  said("[gpu]\n", "low_latency is missing");
  said(std::string{whole}.append("colour = 1\n"), "colour");
  auto with = [](std::string_view old, std::string_view now) {
    std::string text{whole};
    text.replace(text.find(old), old.size(), now);
    return text;
  };
  said(with("ranks = 32", "ranks = 8"), "must ascend");
  said(with("dispatch = 120", "dispatch = 0"), "must be above 0");
  said(with("multiprocessors = 20", "multiprocessors = 100"), "leaves no");
  said(with("\"20us\"", "\"soon\""), "fixed");
}

TEST(UnitMachine, TheOneOfThePicturesIsRead) {
  auto x
    = read_unit_machine(source_dir() / "deploy" / "machines" / "h800.toml");
  EXPECT_TRUE(x) << x.why().message;
}

} // namespace
