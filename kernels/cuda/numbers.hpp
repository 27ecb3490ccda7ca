#pragma once

/// Narrow floats and the weights of tokens, for GPUs: host/floats.hpp and
/// host/token_weights.hpp once more, operation for operation. A test compares
/// them bit by bit (tests/cuda_on_host/numbers_test.cpp).

#include "kernels/cuda/grid.hpp"

#include <bit>
#include <cmath>

namespace troupe::kernels::cuda {

constexpr float e4m3_max = 448;

GPU uint32_t bits_of(float x) {
  return std::bit_cast<uint32_t>(x);
}

GPU float minus_infinity() {
  return std::bit_cast<float>(0xff800000u);
}

GPU float from_bf16(uint16_t bits) {
  return std::bit_cast<float>(uint32_t{bits} << 16);
}

GPU uint16_t to_bf16(float x) {
  auto bits = bits_of(x);
  if ((bits & 0x7fffffff) > 0x7f800000)
    return uint16_t((bits >> 16) | 0x40);
  return uint16_t((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

GPU uint8_t to_e4m3(float x) {
  auto bits = bits_of(x);
  auto sign = uint8_t((bits >> 24) & 0x80);
  bits &= 0x7fffffff;
  if (bits > 0x7f800000)
    return 0x7f;
  auto magnitude = std::bit_cast<float>(bits);
  if (magnitude >= e4m3_max)
    return sign | 0x7e;
  if (magnitude < 0x1p-6f) // one unit of 2^14 in FP32 is 2^-9
    return uint8_t(sign | (bits_of(magnitude + 0x1p14f) - bits_of(0x1p14f)));
  auto rounded = bits + 0x7ffff + ((bits >> 20) & 1);
  return uint8_t(sign | ((rounded >> 20) - (120u << 3)));
}

/// The code of a value in a tile of scale `scale`.
GPU uint8_t to_e4m3(float x, float scale) {
  return scale == 0 ? 0 : to_e4m3(x / scale);
}

// -- weights of tokens --------------------------------------------------------

/// Octaves that `logit` is below `max`; see host::level_scale.
GPU double level_of(float logit, float max, double by) {
  return (double{logit} - double{max}) * by;
}

GPU uint64_t weight_of(double level) {
  if (!(level >= -39))
    return 0;
  constexpr double round_level = 0x1.8p52 + 39;
  constexpr double round_whole = 0x1p52;
  auto sum = level + round_level;
  auto f = level - (sum - round_level);
  auto f2 = f * f;
  auto low = (1.0 + 0x1.62e42fefa39efp-1 * f)
             + (0x1.ebfbe045f4d3cp-3 + 0x1.c6b08d883dca1p-5 * f) * f2;
  auto high = (0x1.3b2a1b7152befp-7 + 0x1.5d879ead06a82p-10 * f)
              + (0x1.443fffc90db59p-13 + 0x1.00a581594758ep-16 * f) * f2;
  auto p = low + high * (f2 * f2);
  auto bits = std::bit_cast<uint64_t>(p) + (std::bit_cast<uint64_t>(sum) << 52);
  auto whole = std::bit_cast<double>(bits) + round_whole;
  return std::bit_cast<uint64_t>(whole) - std::bit_cast<uint64_t>(round_whole);
}

/// The upper and the lower half of a product of 64-bit numbers.
struct product128 {
  uint64_t high = 0;
  uint64_t low = 0;
};

GPU product128 multiply_wide(uint64_t a, uint64_t b) {
  auto a0 = a & 0xffffffff;
  auto a1 = a >> 32;
  auto b0 = b & 0xffffffff;
  auto b1 = b >> 32;
  auto middle = a1 * b0 + (a0 * b0 >> 32);
  auto other = a0 * b1 + (middle & 0xffffffff);
  return {a1 * b1 + (middle >> 32) + (other >> 32), a * b};
}

/// See host::log2_of.
GPU double log2_of(uint64_t x) {
  constexpr int num_bits = 45;
  int whole = 63;
  while (whole > 0 && (x >> whole) == 0)
    --whole;
  auto y = x << (63 - whole);
  uint64_t part = 0;
  for (int i = 0; i < num_bits; ++i) {
    auto square = multiply_wide(y, y);
    auto is_2 = (square.high >> 63) != 0;
    y = is_2 ? square.high : square.high << 1 | square.low >> 63;
    part = part * 2 + is_2;
  }
  return whole + double(part) / double(uint64_t{1} << num_bits);
}

/// See host::log_probability.
GPU float log_probability(float logit, float max, uint64_t sum) {
  auto octaves = log2_of(sum) - 39;
  return float((double{logit} - double{max}) - octaves * 0x1.62e42fefa39efp-1);
}

/// See host::share_of.
GPU uint64_t share_of(uint64_t whole, float top_p) {
  auto part = uint64_t(double{top_p > 0 ? top_p : 0} * 0x1p53);
  auto product = multiply_wide(whole, part);
  auto low = product.low + ((uint64_t{1} << 53) - 1);
  auto high = product.high + (low < product.low);
  auto share = high << 11 | low >> 53;
  return share > 0 ? share : 1;
}

/// See host::place_of.
GPU uint64_t place_of(uint64_t whole, uint64_t point) {
  auto product = multiply_wide(whole, point);
  return product.high << 11 | product.low >> 53;
}

} // namespace troupe::kernels::cuda
