#include "runtime/convert/q8_0.hpp"

#include "kernels/check.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

namespace troupe {

namespace {

constexpr size_t q8_width = 32;
constexpr size_t block_bytes = 34;

/// To nearest, halves away from zero, without a call: |x| is at most 127, and
/// what comes of no number is a number.
int8_t rounded(float x) {
  x = x > -127 ? x : -127;
  x = x < 127 ? x : 127;
  auto whole = static_cast<int32_t>(x);
  auto rest = x - static_cast<float>(whole); // exact
  whole += (rest >= 0.5f) - (rest <= -0.5f);
  return static_cast<int8_t>(whole);
}

void quantize_block(const float* x, std::byte* out) {
  float largest = 0;
  for (size_t i = 0; i < q8_width; ++i)
    largest = std::max(largest, std::fabs(x[i]));
  auto d = largest / 127;
  auto inverse = d > 0 ? 1 / d : 0.0f;
  auto scale = to_f16(d);
  std::memcpy(out, &scale, 2);
  for (size_t i = 0; i < q8_width; ++i)
    out[2 + i] = static_cast<std::byte>(rounded(x[i] * inverse));
}

} // namespace

uint16_t to_f16(float x) {
  auto bits = std::bit_cast<uint32_t>(x);
  auto sign = static_cast<uint16_t>((bits >> 16) & 0x8000);
  bits &= 0x7fffffff;
  if (bits > 0x7f800000)
    return sign | 0x7e00;
  if (bits >= 0x477ff000) // 65520 rounds to what there is not
    return sign | 0x7c00;
  if (bits < 0x38800000) { // subnormal: one unit of 0.5 in FP32 is 2^-24
    auto sum = std::bit_cast<float>(bits) + 0.5f;
    return sign | static_cast<uint16_t>(std::bit_cast<uint32_t>(sum));
  }
  auto kept = bits + 0xfff + ((bits >> 13) & 1);
  return sign | static_cast<uint16_t>((kept - (112u << 23)) >> 13);
}

void quantize_q8_0(std::span<const float> x, std::byte* out) {
  CHECK(x.size() % q8_width == 0);
  for (size_t i = 0; i < x.size(); i += q8_width, out += block_bytes)
    quantize_block(x.data() + i, out);
}

} // namespace troupe
