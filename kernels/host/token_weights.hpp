#pragma once

/// What logits weigh in a draw: whole numbers, so that sums are exact and the
/// order of addition is free, and every machine draws the same token. One
/// value at a time, from operations that IEEE 754 defines to the last bit; the
/// definition that vectorised code has to meet.
///
/// The level of an id says how far its logit lies below the largest, in
/// octaves of probability: level = (logit - max) * log2(e) / temperature, in
/// FP64, from 0 downwards. Its weight is 2^(39 + level) to the nearest whole
/// number, from the polynomial below; none, if that would be less than 1. So
/// the sum of 2^24 weights fits into 64 bits, and an id weighs what it should
/// to within 2^-33 of itself and 2^-40 of the largest one.

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

namespace troupe::kernels::host {

/// The largest weight is 2 to this power.
constexpr int weight_bits = 39;

/// Ids below this level have no weight, those from it on at least 1.
constexpr double lowest_level = -weight_bits;

/// Most ids whose weights have a sum.
constexpr uint32_t max_choices = 1 << 24;

/// 2^f on [-1/2, 1/2] within 2^-33, in powers of f; summed by pairs, which is
/// shorter than one after the other. [Estrin]
constexpr double exp2_terms[] = {
  1.0,
  0x1.62e42fefa39efp-1,
  0x1.ebfbe045f4d3cp-3,
  0x1.c6b08d883dca1p-5,
  0x1.3b2a1b7152befp-7,
  0x1.5d879ead06a82p-10,
  0x1.443fffc90db59p-13,
  0x1.00a581594758ep-16,
};

/// Added to a level it leaves level + 39, rounded to a whole number, in the
/// lowest bits of the sum.
constexpr double round_level = 0x1.8p52 + weight_bits;

/// Added to a number below 2^52 it leaves that, rounded to a whole number, in
/// the mantissa.
constexpr double round_whole = 0x1p52;

struct level_scale {
  double max = 0; ///< The largest logit.
  double by = 1;  ///< Octaves of one unit of a logit; finite.

  level_scale() = default;

  /// `temperature` > 0.
  level_scale(float max, float temperature)
    : max(max),
      by(0x1.71547652b82fep+0
         / double{std::min(temperature, std::numeric_limits<float>::max())}) {
  }

  double level_of(float logit) const {
    return (double{logit} - max) * by;
  }
};

inline uint64_t weight_of(double level) {
  if (!(level >= lowest_level))
    return 0;
  auto sum = level + round_level;
  auto f = level - (sum - round_level);
  auto& c = exp2_terms;
  auto f2 = f * f;
  auto low = (c[0] + c[1] * f) + (c[2] + c[3] * f) * f2;
  auto high = (c[4] + c[5] * f) + (c[6] + c[7] * f) * f2;
  auto p = low + high * (f2 * f2);
  auto bits = std::bit_cast<uint64_t>(p) + (std::bit_cast<uint64_t>(sum) << 52);
  auto whole = std::bit_cast<double>(bits) + round_whole;
  return std::bit_cast<uint64_t>(whole) - std::bit_cast<uint64_t>(round_whole);
}

__extension__ using uint128 = unsigned __int128;

/// The binary logarithm of `x` > 0 within 2^-44, bit by bit: whole numbers have
/// no library that could round otherwise.
inline double log2_of(uint64_t x) {
  constexpr int num_bits = 45;
  auto whole = 63 - std::countl_zero(x);
  auto y = x << (63 - whole); // [1, 2), 63 bits behind the point
  uint64_t part = 0;
  for (int i = 0; i < num_bits; ++i) {
    auto square = uint128{y} * y; // [1, 4), 126 bits behind the point
    bool is_2 = (square >> 127) != 0;
    y = static_cast<uint64_t>(square >> (is_2 ? 64 : 63));
    part = part * 2 + is_2;
  }
  return whole + double(part) / double(uint64_t{1} << num_bits);
}

/// The level of an id with `min_p` (0 .. 1) of the largest probability; below 0
/// by at least a little, so that there is room for buckets.
inline double level_of_share(float min_p) {
  if (!(min_p > 0))
    return lowest_level;
  int power = 0;
  auto digits = static_cast<uint64_t>(std::frexp(min_p, &power) * 0x1p24f);
  return std::clamp(log2_of(digits) - 24 + power, lowest_level, -0x1p-40);
}

/// The natural logarithm of a probability: of `logit` in a row whose largest
/// is `max` and whose weights at temperature 1 add up to `sum`.
inline float log_probability(float logit, float max, uint64_t sum) {
  auto octaves = log2_of(sum) - weight_bits;
  return static_cast<float>((double{logit} - max)
                            - octaves * 0x1.62e42fefa39efp-1);
}

/// The least weight that is at least `top_p` (0 .. 1) of `whole`; at least 1.
inline uint64_t share_of(uint64_t whole, float top_p) {
  auto part = static_cast<uint64_t>(double{std::max(top_p, 0.0f)} * 0x1p53);
  auto share = (uint128{whole} * part + ((uint64_t{1} << 53) - 1)) >> 53;
  return std::max<uint64_t>(1, static_cast<uint64_t>(share));
}

/// Where `point` of [0, 2^53) lies in [0, whole).
inline uint64_t place_of(uint64_t whole, uint64_t point) {
  return static_cast<uint64_t>((uint128{whole} * point) >> 53);
}

} // namespace troupe::kernels::host
