#pragma once

/// Narrow floats, one value at a time and exact: to nearest, ties to even,
/// subnormals included. The definition that vectorised code has to meet.

#include <bit>
#include <cmath>
#include <cstdint>

namespace troupe::kernels::host {

/// The largest finite magnitude of e4m3.
constexpr float e4m3_max = 448;

/// The code of a NaN, whatever its sign.
constexpr uint8_t e4m3_nan = 0x7f;

inline float from_bf16(uint16_t bits) {
  return std::bit_cast<float>(uint32_t{bits} << 16);
}

/// Infinities stay, a NaN stays a NaN, what is too large becomes infinite.
inline uint16_t to_bf16(float x) {
  auto bits = std::bit_cast<uint32_t>(x);
  if ((bits & 0x7fffffff) > 0x7f800000)
    return static_cast<uint16_t>((bits >> 16) | 0x40);
  return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

inline float round_to_bf16(float x) {
  return from_bf16(to_bf16(x));
}

inline float from_e4m3(uint8_t code) {
  auto sign = uint32_t{code & 0x80u} << 24;
  auto magnitude = uint32_t{code & 0x7fu};
  if (magnitude == e4m3_nan)
    return std::bit_cast<float>(sign | 0x7fc00000);
  if (magnitude < 8) { // a multiple of 2^-9
    auto value = std::bit_cast<uint32_t>(static_cast<float>(magnitude) / 512);
    return std::bit_cast<float>(sign | value);
  }
  return std::bit_cast<float>(sign | ((magnitude << 20) + (120u << 23)));
}

/// What is too large, infinities included, becomes +-448 (code 0x7e).
inline uint8_t to_e4m3(float x) {
  auto bits = std::bit_cast<uint32_t>(x);
  auto sign = static_cast<uint8_t>((bits >> 24) & 0x80);
  bits &= 0x7fffffff;
  if (bits > 0x7f800000)
    return e4m3_nan;
  auto magnitude = std::bit_cast<float>(bits);
  if (magnitude >= e4m3_max)
    return sign | 0x7e;
  if (magnitude < 0x1p-6f) { // one unit of 2^14 in FP32 is 2^-9
    auto sum = std::bit_cast<uint32_t>(magnitude + 0x1p14f);
    return sign | static_cast<uint8_t>(sum - std::bit_cast<uint32_t>(0x1p14f));
  }
  auto rounded = bits + 0x7ffff + ((bits >> 20) & 1);
  return sign | static_cast<uint8_t>((rounded >> 20) - (120u << 3));
}

/// The scale of a tile: max|x| / 448. NaNs do not count. A tile whose scale
/// underflows to 0 is a tile of zeros.
inline float e4m3_scale(const float* x, uint32_t count) {
  float largest = 0;
  for (uint32_t i = 0; i < count; ++i)
    largest = std::fabs(x[i]) > largest ? std::fabs(x[i]) : largest;
  return largest / e4m3_max;
}

/// The code of a value in a tile of scale `scale`; NaN / scale stays a NaN.
inline uint8_t to_e4m3(float x, float scale) {
  return scale == 0 ? 0 : to_e4m3(x / scale);
}

} // namespace troupe::kernels::host
