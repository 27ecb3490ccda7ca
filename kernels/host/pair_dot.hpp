#pragma once

/// What one lane of a BF16 dot product is, in plain numbers: the definition
/// that a CPU's own instruction is compared with before it is used.

#include "kernels/host/floats.hpp"

#include <cmath>
#include <cstdint>

namespace troupe::kernels::host {

/// x, or a zero of its sign if x is subnormal.
inline float without_subnormal(float x) {
  constexpr float smallest_normal = 0x1p-126f;
  return std::fabs(x) < smallest_normal ? std::copysign(0.0f, x) : x;
}

/// sum + a.high * b.high + a.low * b.low, where words hold two BF16 numbers:
/// two multiply-adds that round to nearest, ties to even, the high halves
/// first. Subnormal numbers are zero on the way in and out. [Intel SDM,
/// VDPBF16PS]
inline float add_pair(float sum, uint32_t a, uint32_t b) {
  auto high = [](uint32_t x) {
    return without_subnormal(from_bf16(uint16_t(x >> 16)));
  };
  auto low = [](uint32_t x) {
    return without_subnormal(from_bf16(uint16_t(x)));
  };
  sum = without_subnormal(sum);
  sum = without_subnormal(std::fma(high(a), high(b), sum));
  return without_subnormal(std::fma(low(a), low(b), sum));
}

} // namespace troupe::kernels::host
