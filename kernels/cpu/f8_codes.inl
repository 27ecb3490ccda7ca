// FP8 codes to pairs of BF16 by table look-ups of bytes (AVX-512 VBMI). Only
// for files that enable these instructions before they include this one.

#include "kernels/host/floats.hpp"

#include <array>
#include <cstddef>
#include <immintrin.h>

namespace troupe::kernels::cpu {

namespace {

/// High and low bytes of the BF16 values of the 128 codes without sign.
struct alignas(64) code_table {
  std::array<uint8_t, 128> low;
  std::array<uint8_t, 128> high;
};

/// What the exponent of a code grows by in BF16.
constexpr uint32_t exact_bias = 120;

/// A smaller `bias` gives values divided by a power of two.
constexpr code_table make_code_table(uint32_t bias) {
  code_table out{};
  for (uint32_t code = 0; code < 128; ++code) {
    uint32_t bits = (code << 4) + (bias << 7);
    constexpr uint16_t small[8] = {0,      0x3b00, 0x3b80, 0x3bc0,
                                   0x3c00, 0x3c20, 0x3c40, 0x3c60};
    if (code < 8)
      bits = code == 0 ? 0 : small[code] - ((exact_bias - bias) << 7);
    if (code == host::e4m3_nan)
      bits = 0x7fc0;
    out.low[code] = uint8_t(bits);
    out.high[code] = uint8_t(bits >> 8);
  }
  return out;
}

constexpr code_table exact_table = make_code_table(exact_bias);

/// The values of 64 codes, byte by byte.
struct byte_columns {
  __m512i low;
  __m512i high;
};

/// Pairs of outputs 0 .. 15 and of 16 .. 31.
struct pair_columns {
  __m512i first;
  __m512i second;
};

/// Turns 64 codes into two vectors of pairs, exactly.
class widener {
public:
  // Written out: an implicit constructor lacks the instructions.
  [[gnu::always_inline]] explicit widener(const code_table& table = exact_table)
    : low0_(_mm512_load_si512(table.low.data())),
      low1_(_mm512_load_si512(table.low.data() + 64)),
      high0_(_mm512_load_si512(table.high.data())),
      high1_(_mm512_load_si512(table.high.data() + 64)),
      sign_(_mm512_set1_epi8(char(0x80))) {
  }

  [[gnu::always_inline]] byte_columns bytes(const std::byte* codes) const {
    auto code = _mm512_load_si512(codes);
    auto low = _mm512_permutex2var_epi8(low0_, code, low1_);
    auto high = _mm512_permutex2var_epi8(high0_, code, high1_);
    constexpr int a_or_b_and_c = 0xf8;
    return {low, _mm512_ternarylogic_epi32(high, code, sign_, a_or_b_and_c)};
  }

  [[gnu::always_inline]] pair_columns operator()(const std::byte* codes) const {
    auto [low, high] = bytes(codes);
    return {_mm512_unpacklo_epi8(low, high), _mm512_unpackhi_epi8(low, high)};
  }

private:
  __m512i low0_;
  __m512i low1_;
  __m512i high0_;
  __m512i high1_;
  __m512i sign_;
};

} // namespace

} // namespace troupe::kernels::cpu
