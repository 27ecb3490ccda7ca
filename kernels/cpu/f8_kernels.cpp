// FP8 weights where AVX-512 VBMI is: codes are widened in registers, at once to
// FP32 for few rows. The same bits as staging them first.

#include "kernels/cpu/fill.hpp"

#if defined(__x86_64__)

#include "kernels/host/floats.hpp"

#include <array>
#include <immintrin.h>
#include <utility>

// Only what is written in this file may use these instructions: it is chosen
// at run time.
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi")

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

template <uint32_t Rows>
struct accumulators {
  __m512 first[Rows];
  __m512 second[Rows];

  void clear() {
#pragma GCC unroll 16
    for (uint32_t r = 0; r < Rows; ++r)
      first[r] = second[r] = _mm512_setzero_ps();
  }

  /// One step: even members of the pairs, then odd ones.
  [[gnu::always_inline]] void add(const float* a, const pair_columns& w) {
    auto odd = _mm512_set1_epi32(int32_t(0xffff0000));
    add(a, shift(w.first), shift(w.second));
    add(a + Rows, _mm512_and_si512(w.first, odd),
        _mm512_and_si512(w.second, odd));
  }

  [[gnu::always_inline]] void add(const float* a, __m512i w0, __m512i w1) {
#pragma GCC unroll 16
    for (uint32_t r = 0; r < Rows; ++r) {
      auto x = _mm512_set1_ps(a[r]);
      first[r] = _mm512_fmadd_ps(x, _mm512_castsi512_ps(w0), first[r]);
      second[r] = _mm512_fmadd_ps(x, _mm512_castsi512_ps(w1), second[r]);
    }
  }

  /// acc += sums * x scale * w scale
  void scale_into(float* acc, const float* x_scales, float w_scale) const {
    auto by = _mm512_set1_ps(w_scale);
#pragma GCC unroll 16
    for (uint32_t r = 0; r < Rows; ++r) {
      auto x = _mm512_set1_ps(x_scales[r]);
      auto out = acc + r * panel_rows;
      auto a = _mm512_mul_ps(first[r], x);
      auto b = _mm512_mul_ps(second[r], x);
      _mm512_storeu_ps(out, _mm512_fmadd_ps(a, by, _mm512_loadu_ps(out)));
      out += 16;
      _mm512_storeu_ps(out, _mm512_fmadd_ps(b, by, _mm512_loadu_ps(out)));
    }
  }
};

/// `Blocks` blocks at a time: their sums are independent, so that multiplying
/// need not wait for adding.
template <uint32_t Rows, uint32_t Blocks>
void multiply_blocks(const f8_panel_args& p, uint32_t first) {
  constexpr auto a_block = 2 * block_steps * Rows;
  auto a = reinterpret_cast<const float*>(p.a) + first * a_block;
  auto codes = p.codes + first * block_bytes;
  auto ahead = first + blocks_ahead;
  auto fetched = ahead < p.blocks ? p.codes + ahead * block_bytes
                                  : p.next + (ahead - p.blocks) * block_bytes;
  widener widen;
  accumulators<Rows> sums[Blocks];
#pragma GCC unroll 16
  for (uint32_t b = 0; b < Blocks; ++b)
    sums[b].clear();
  for (uint32_t i = 0; i < block_steps; ++i) {
#pragma GCC unroll 16
    for (uint32_t b = 0; b < Blocks; ++b) {
      auto at = b * block_bytes + i * 64;
      _mm_prefetch(fetched + at, _MM_HINT_T0);
      sums[b].add(a + b * a_block + i * 2 * Rows, widen(codes + at));
    }
  }
#pragma GCC unroll 16
  for (uint32_t b = 0; b < Blocks; ++b)
    sums[b].scale_into(p.acc, p.x_scales + (first + b) * Rows,
                       p.w_scales[first + b]);
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

template <size_t... Rows>
void fill_panels(kernel_set& set, std::index_sequence<Rows...>) {
  ((set.f8_panels[Rows + 1] = multiply_f8_panel<Rows + 1>), ...);
}

} // namespace

void fill_f8(kernel_set& set) {
  set.stage_f8 = stage_f8;
  set.widen_f8 = widen_f8;
  fill_panels(set, std::make_index_sequence<max_f8_rows>());
}

} // namespace troupe::kernels::cpu

#pragma GCC pop_options

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
