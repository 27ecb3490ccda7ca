#include "runtime/checkpoint/finite.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

namespace troupe {
namespace {

/// What the bits of an element mean, worked out by the type's definition.
bool is_finite(tensor_type type, uint32_t bits) {
  if (type == tensor_type::f8_e4m3)
    return (bits & 0x7f) != 0x7f;
  if (type == tensor_type::bf16)
    bits <<= 16;
  float x;
  std::memcpy(&x, &bits, sizeof(x));
  return std::isfinite(x);
}

std::optional<uint64_t> first_of(tensor_type type, const std::string& bytes) {
  return first_not_finite(type, std::as_bytes(std::span{bytes}));
}

TEST(Finite, KnowsEveryCodeOfTheNarrowTypes) {
  for (auto type : {tensor_type::f8_e4m3, tensor_type::bf16}) {
    auto width = size_of(type);
    for (uint32_t bits = 0; bits < 1u << (8 * width); ++bits)
      for (size_t at : {size_t{0}, size_t{70}}) {
        // One among its neighbours, in whole steps or behind them.
        std::string bytes(100 * width, '\x3c');
        std::memcpy(bytes.data() + at * width, &bits, width);
        auto found = first_of(type, bytes);
        ASSERT_EQ(found.has_value(), !is_finite(type, bits)) << bits;
        if (found) {
          ASSERT_EQ(*found, at);
        }
      }
  }
}

TEST(Finite, KnowsNaNAndInfinityOfFp32WhateverTheirSign) {
  using limits = std::numeric_limits<float>;
  for (float x : {limits::quiet_NaN(), -limits::quiet_NaN(), limits::infinity(),
                  -limits::infinity(), limits::max(), limits::lowest(),
                  limits::denorm_min(), 0.0f, -0.0f})
    for (size_t size : {1u, 31u, 32u, 33u, 20'000u})
      for (size_t at : {size_t{0}, size / 2, size - 1}) {
        std::vector<float> values(size, 1.5f);
        values[at] = x;
        auto found = first_not_finite(tensor_type::f32,
                                      std::as_bytes(std::span{values}));
        ASSERT_EQ(found.has_value(), !std::isfinite(x)) << x;
        if (found) {
          ASSERT_EQ(*found, at);
        }
      }
}

TEST(Finite, FindsTheFirstWhereverItLies) {
  std::string bytes(200'001, '\x11');
  for (size_t at : {0u, 127u, 128u, 65'535u, 65'536u, 130'000u, 200'000u}) {
    bytes[at] = '\x7f';
    EXPECT_EQ(first_of(tensor_type::f8_e4m3, bytes), at);
    auto off = std::as_bytes(std::span{bytes}).subspan(1); // no alignment
    if (at > 0) {
      EXPECT_EQ(first_not_finite(tensor_type::f8_e4m3, off), at - 1);
    }
    bytes[at] = '\x11';
  }
  EXPECT_FALSE(first_of(tensor_type::f8_e4m3, bytes));
  EXPECT_FALSE(first_of(tensor_type::bf16, ""));
}

TEST(Finite, ScalesMustKeepTheLargestCodeFinite) {
  auto most = std::numeric_limits<float>::max() / 448;
  for (float good : {0.0f, 1e-30f, 1.0f, most})
    EXPECT_TRUE(check_scales("s", std::vector{1.0f, good})) << good;
  for (float bad : {-1e-9f, std::nextafter(most, INFINITY)})
    EXPECT_EQ(check_scales("s", std::vector{1.0f, bad}).why().message,
              "tensor s is no scale of FP8 codes at element 1");
  for (float bad : {INFINITY, -INFINITY, NAN})
    EXPECT_EQ(check_scales("s", std::vector{bad, 1.0f}).why().message,
              "tensor s is not finite at element 0");
}

} // namespace
} // namespace troupe
