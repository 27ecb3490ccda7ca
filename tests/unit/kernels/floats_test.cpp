#include "kernels/host/floats.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

using namespace troupe::kernels::host;

namespace {

constexpr auto infinity = std::numeric_limits<float>::infinity();

float value_of(int code) {
  auto exponent = (code >> 3) & 15;
  auto mantissa = code & 7;
  auto value = exponent == 0 ? std::ldexp(mantissa, -9)
                             : std::ldexp(8 + mantissa, exponent - 10);
  return static_cast<float>((code & 0x80) != 0 ? -value : value);
}

} // namespace

TEST(E4m3, DecodesEveryCode) {
  for (int code = 0; code < 256; ++code) {
    auto value = from_e4m3(static_cast<uint8_t>(code));
    if ((code & 0x7f) == 0x7f)
      EXPECT_TRUE(std::isnan(value)) << code;
    else
      EXPECT_EQ(value, value_of(code)) << code;
    EXPECT_EQ(std::signbit(value), (code & 0x80) != 0) << code;
  }
}

TEST(E4m3, EncodesEveryValueAsItsCode) {
  for (int code = 0; code < 256; ++code)
    if ((code & 0x7f) != 0x7f) {
      EXPECT_EQ(to_e4m3(value_of(code)), code);
    }
}

TEST(E4m3, RoundsEveryHalfwayCaseToTheEvenCode) {
  for (int sign : {0, 0x80})
    for (int code = 0; code < 0x7e; ++code) {
      auto half = (value_of(code) + value_of(code + 1)) / 2;
      auto unit = sign ? -1.0f : 1.0f;
      auto even = code % 2 == 0 ? code : code + 1;
      EXPECT_EQ(to_e4m3(unit * half), sign | even) << code;
      EXPECT_EQ(to_e4m3(unit * std::nextafter(half, 0.0f)), sign | code);
      EXPECT_EQ(to_e4m3(unit * std::nextafter(half, infinity)),
                sign | (code + 1));
    }
}

TEST(E4m3, SaturatesWhatIsTooLargeAndKeepsNaN) {
  for (auto x : {448.0f, 449.0f, 464.0f, 500.0f, 1e30f, infinity}) {
    EXPECT_EQ(to_e4m3(x), 0x7e);
    EXPECT_EQ(to_e4m3(-x), 0xfe);
  }
  EXPECT_EQ(to_e4m3(std::nanf("")), e4m3_nan);
  EXPECT_EQ(to_e4m3(-std::nanf("")), e4m3_nan);
  EXPECT_EQ(to_e4m3(-0.0f), 0x80);
}

TEST(E4m3, ATileOfZerosHasScaleZeroAndCodesZero) {
  float tile[] = {0.0f, -0.0f, 0.0f};
  EXPECT_EQ(e4m3_scale(tile, 3), 0);
  EXPECT_EQ(to_e4m3(-0.0f, 0), 0);
  float tiny[] = {1e-45f, -1e-45f};
  EXPECT_EQ(e4m3_scale(tiny, 2), 0);
  EXPECT_EQ(to_e4m3(1e-45f, 0), 0);
}

TEST(E4m3, TheLargestValueOfATileHasTheLargestCode) {
  float tile[] = {0.1f, -3.3f, 2, std::nanf("")};
  auto scale = e4m3_scale(tile, 4);
  EXPECT_EQ(scale, 3.3f / 448);
  EXPECT_EQ(to_e4m3(tile[1], scale), 0xfe);
  EXPECT_EQ(to_e4m3(tile[3], scale), e4m3_nan);
}

TEST(Bf16, RoundsEveryHalfwayCaseToTheEvenCode) {
  for (uint32_t code = 0; code < 0x7f80; ++code) {
    auto half = std::bit_cast<float>((code << 16) + 0x8000);
    auto even = code % 2 == 0 ? code : code + 1;
    ASSERT_EQ(to_bf16(half), even);
    ASSERT_EQ(to_bf16(-half), 0x8000 | even);
    ASSERT_EQ(to_bf16(std::nextafter(half, 0.0f)), code);
    ASSERT_EQ(to_bf16(std::nextafter(half, infinity)), code + 1);
    ASSERT_EQ(to_bf16(from_bf16(static_cast<uint16_t>(code))), code);
  }
}

TEST(Bf16, KeepsInfinitiesAndNaN) {
  EXPECT_EQ(to_bf16(infinity), 0x7f80);
  EXPECT_EQ(to_bf16(-infinity), 0xff80);
  EXPECT_TRUE(std::isnan(round_to_bf16(std::nanf(""))));
  EXPECT_TRUE(std::isnan(
    round_to_bf16(std::bit_cast<float>(0x7f800001u)))); // only low bits set
}
