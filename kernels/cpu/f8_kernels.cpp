// FP8 weights where AVX-512 VBMI is: codes are widened in registers, at once to
// FP32 for few rows. The same bits as staging them first.

#include "kernels/cpu/fill.hpp"

#if defined(__x86_64__)

#include "kernels/host/floats.hpp"

#include <array>
#include <hwy/base.h>
#include <immintrin.h>
#include <utility>

// Only what is written in this file may use these instructions: it is chosen
// at run time.
HWY_PUSH_ATTRIBUTES("avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi");

#include "kernels/cpu/f8_codes.inl"

namespace troupe::kernels::cpu {

namespace {

void stage_f8(const std::byte* codes, uint32_t steps, uint16_t* out) {
  widener widen;
  for (uint32_t i = 0; i < steps; ++i) {
    auto w = widen(codes + i * 64);
    _mm512_store_si512(out + i * 64, w.first);
    _mm512_store_si512(out + i * 64 + 32, w.second);
  }
}

constexpr uint32_t block_steps = 64; // 128 wide
constexpr uint32_t block_bytes = block_steps * 64;

/// How far ahead codes are fetched, beyond the panel in the next one.
constexpr uint32_t blocks_ahead = 4;

/// The plain intrinsic makes GCC 12 warn of its own undefined vector.
[[gnu::always_inline]] inline __m512i shift(__m512i bits) {
  return _mm512_maskz_slli_epi32(__mmask16(0xffff), bits, 16);
}

void widen_f8(const std::byte* codes, uint32_t steps, float* out) {
  widener widen;
  auto odd = _mm512_set1_epi32(int32_t(0xffff0000));
  for (uint32_t i = 0; i < steps; ++i, out += 64) {
    auto w = widen(codes + i * 64);
    _mm512_store_si512(out, shift(w.first));
    _mm512_store_si512(out + 16, shift(w.second));
    _mm512_store_si512(out + 32, _mm512_and_si512(w.first, odd));
    _mm512_store_si512(out + 48, _mm512_and_si512(w.second, odd));
  }
}

/// Products see codes times 2^-56: then the exponent of a normal number needs
/// no addition, only bits in places that are empty.
constexpr uint32_t bias = exact_bias - 56;
constexpr float unbias = 0x1p56f;

/// The values of one step as BF16, in words where the codes lie: first members
/// of pairs in low bytes, second ones in high bytes.
struct word_columns {
  __m512i low;
  __m512i high;
};

/// Codes of normal numbers: shifting puts sign, exponent and mantissa where
/// BF16 has them.
[[gnu::always_inline]] inline word_columns
widen_normal(const std::byte* codes) {
  auto code = _mm512_load_si512(codes);
  auto kept = _mm512_set1_epi16(int16_t(0x87f0));
  auto exponent = _mm512_set1_epi16(bias << 7);
  constexpr int a_and_b_or_c = 0xea;
  auto high = _mm512_srai_epi16(code, 4);
  auto low = _mm512_srai_epi16(_mm512_slli_epi16(code, 8), 4);
  return {_mm512_ternarylogic_epi32(low, kept, exponent, a_and_b_or_c),
          _mm512_ternarylogic_epi32(high, kept, exponent, a_and_b_or_c)};
}

constexpr code_table biased_table = make_code_table(bias);

/// Any codes, by look-ups.
[[gnu::noinline]] word_columns widen_any(const std::byte* codes) {
  widener look_up{biased_table};
  auto [low, high] = look_up.bytes(codes);
  auto upper = _mm512_set1_epi16(int16_t(0xff00));
  constexpr int a_where_c_else_b = 0xe4;
  return {_mm512_ternarylogic_epi32(_mm512_slli_epi16(high, 8), low, upper,
                                    a_where_c_else_b),
          _mm512_ternarylogic_epi32(high, _mm512_srli_epi16(low, 8), upper,
                                    a_where_c_else_b)};
}

/// Sums of the outputs at even places and of those at odd ones: of four in a
/// lane of 128 bits two belong to outputs below 16, two to those above.
template <uint32_t Rows>
struct accumulators {
  __m512 even[Rows];
  __m512 odd[Rows];

  void clear() {
#pragma GCC unroll 16
    for (uint32_t r = 0; r < Rows; ++r)
      even[r] = odd[r] = _mm512_setzero_ps();
  }

  /// One step: first members of the pairs, then second ones.
  [[gnu::always_inline]] void add(const float* a, const word_columns& w) {
    add(a, w.low);
    add(a + Rows, w.high);
  }

  [[gnu::always_inline]] void add(const float* a, __m512i w) {
    auto upper = _mm512_set1_epi32(int32_t(0xffff0000));
    auto w0 = _mm512_castsi512_ps(shift(w));
    auto w1 = _mm512_castsi512_ps(_mm512_and_si512(w, upper));
#pragma GCC unroll 16
    for (uint32_t r = 0; r < Rows; ++r) {
      auto x = _mm512_set1_ps(a[r]);
      even[r] = _mm512_fmadd_ps(x, w0, even[r]);
      odd[r] = _mm512_fmadd_ps(x, w1, odd[r]);
    }
  }

  /// acc += sums * x scale * w scale
  void scale_into(float* acc, const float* x_scales, float w_scale) const {
    // Lane by lane: even 0, odd 0, even 1, odd 1; then 2 and 3 likewise.
    auto first = _mm512_set_epi32(29, 13, 28, 12, 25, 9, 24, 8, 21, 5, 20, 4,
                                  17, 1, 16, 0);
    auto second = _mm512_set_epi32(31, 15, 30, 14, 27, 11, 26, 10, 23, 7, 22, 6,
                                   19, 3, 18, 2);
    auto by = _mm512_set1_ps(w_scale);
    auto back = _mm512_set1_ps(unbias);
#pragma GCC unroll 16
    for (uint32_t r = 0; r < Rows; ++r) {
      auto x = _mm512_set1_ps(x_scales[r]);
      auto out = acc + r * panel_rows;
      auto e = _mm512_mul_ps(_mm512_mul_ps(even[r], back), x);
      auto o = _mm512_mul_ps(_mm512_mul_ps(odd[r], back), x);
      auto a = _mm512_permutex2var_ps(e, first, o);
      auto b = _mm512_permutex2var_ps(e, second, o);
      _mm512_storeu_ps(out, _mm512_fmadd_ps(a, by, _mm512_loadu_ps(out)));
      out += 16;
      _mm512_storeu_ps(out, _mm512_fmadd_ps(b, by, _mm512_loadu_ps(out)));
    }
  }
};

/// `Blocks` blocks at a time: their sums are independent, so that multiplying
/// need not wait for adding.
template <uint32_t Rows, uint32_t Blocks>
class block_run {
public:
  [[gnu::always_inline]] block_run(const f8_panel_args& p, uint32_t first)
    : a_(reinterpret_cast<const float*>(p.a) + first * a_block),
      codes_(p.codes + first * block_bytes) {
    auto ahead = first + blocks_ahead;
    fetched_ = ahead < p.blocks ? p.codes + ahead * block_bytes
                                : p.next + (ahead - p.blocks) * block_bytes;
#pragma GCC unroll 16
    for (uint32_t b = 0; b < Blocks; ++b)
      sums_[b].clear();
  }

  /// Steps [first, last) of all blocks, all of normal numbers.
  [[gnu::always_inline]] void add_normal(uint32_t first, uint32_t last) {
    for (auto i = first; i < last; ++i)
      add(i, widen_normal);
  }

  [[gnu::always_inline]] void add_any(uint32_t i) {
    add(i, widen_any);
  }

  [[gnu::always_inline]] void store(const f8_panel_args& p, uint32_t first) {
#pragma GCC unroll 16
    for (uint32_t b = 0; b < Blocks; ++b)
      sums_[b].scale_into(p.acc, p.x_scales + (first + b) * Rows,
                          p.w_scales[first + b]);
  }

private:
  static constexpr auto a_block = 2 * block_steps * Rows;

  template <class Widen>
  [[gnu::always_inline]] void add(uint32_t i, const Widen& widen) {
#pragma GCC unroll 16
    for (uint32_t b = 0; b < Blocks; ++b) {
      auto at = b * block_bytes + i * 64;
      _mm_prefetch(fetched_ + at, _MM_HINT_T0);
      sums_[b].add(a_ + b * a_block + i * 2 * Rows, widen(codes_ + at));
    }
  }

  const float* a_;
  const std::byte* codes_;
  const std::byte* fetched_;
  accumulators<Rows> sums_[Blocks];
};

template <uint32_t Rows, uint32_t Blocks>
void multiply_blocks(const f8_panel_args& p, uint32_t first) {
  block_run<Rows, Blocks> run(p, first);
  uint64_t marks = 0;
  for (uint32_t b = 0; b < Blocks; ++b)
    marks |= p.marks[first + b];
  for (uint32_t i = 0; i < block_steps; ++i) {
    auto end = marks ? uint32_t(__builtin_ctzll(marks)) : block_steps;
    run.add_normal(i, end);
    i = end;
    if (i < block_steps)
      run.add_any(i);
    marks &= marks - 1;
  }
  run.store(p, first);
}

template <uint32_t Rows>
void multiply_f8_panel(const f8_panel_args& p) {
  constexpr uint32_t together = Rows == 1 ? 4 : Rows == 2 ? 2 : 1;
  uint32_t b = 0;
  for (; b + together <= p.blocks; b += together)
    multiply_blocks<Rows, together>(p, b);
  if (together == 4 && b + 2 <= p.blocks) {
    multiply_blocks<Rows, 2>(p, b);
    b += 2;
  }
  for (; b < p.blocks; ++b)
    multiply_blocks<Rows, 1>(p, b);
}

void mark_f8(const std::byte* codes, uint32_t blocks, uint64_t* marks) {
  auto exponent = _mm512_set1_epi8(0x78);
  auto magnitude = _mm512_set1_epi8(0x7f);
  for (uint32_t b = 0; b < blocks; ++b) {
    marks[b] = 0;
    for (uint32_t i = 0; i < block_steps; ++i, codes += 64) {
      auto code = _mm512_load_si512(codes);
      auto small = _mm512_testn_epi8_mask(code, exponent);
      auto nan = _mm512_cmpeq_epi8_mask(_mm512_and_si512(code, magnitude),
                                        magnitude);
      marks[b] |= uint64_t{(small | nan) != 0} << i;
    }
  }
}

template <size_t... Rows>
void fill_panels(kernel_set& set, std::index_sequence<Rows...>) {
  ((set.f8_panels[Rows + 1] = multiply_f8_panel<Rows + 1>), ...);
}

} // namespace

void fill_f8(kernel_set& set) {
  set.stage_f8 = stage_f8;
  set.widen_f8 = widen_f8;
  set.mark_f8 = mark_f8;
  fill_panels(set, std::make_index_sequence<max_f8_rows>());
}

} // namespace troupe::kernels::cpu

HWY_POP_ATTRIBUTES

namespace troupe::kernels::cpu {

bool has_f8() {
  return __builtin_cpu_supports("avx512vbmi");
}

} // namespace troupe::kernels::cpu

#else

namespace troupe::kernels::cpu {

void fill_f8(kernel_set&) {
  // nop
}

bool has_f8() {
  return false;
}

} // namespace troupe::kernels::cpu

#endif
