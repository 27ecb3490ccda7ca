// Tiles of products by the BF16 dot product of AVX-512, which Highway 1.0 does
// not know. Two FP32 accumulators of 16 outputs per row; each lane adds pairs
// of k in ascending order, of each pair the second product first (see
// host::add_pair).

#include "kernels/cpu/fill.hpp"

#if defined(__x86_64__)

#include "kernels/host/floats.hpp"

#include <array>
#include <hwy/base.h>
#include <immintrin.h>
#include <utility>

// Only what is written in this file may use these instructions: it is chosen
// at run time.
HWY_PUSH_ATTRIBUTES("avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512bf16");

#include "kernels/cpu/f8_codes.inl"

namespace troupe::kernels::cpu {

namespace {

struct columns {
  __m512bh first;
  __m512bh second;
};

__m512bh as_bf16(__m512i bits) {
  return reinterpret_cast<__m512bh>(bits);
}

columns as_columns(const pair_columns& w) {
  return {as_bf16(w.first), as_bf16(w.second)};
}

columns load_columns(const std::byte* w) {
  return {as_bf16(_mm512_load_si512(w)), as_bf16(_mm512_load_si512(w + 64))};
}

template <uint32_t Rows>
struct accumulators {
  __m512 first[Rows];
  __m512 second[Rows];

  void load(const float* acc) {
#pragma GCC unroll 16
    for (uint32_t r = 0; r < Rows; ++r) {
      first[r] = _mm512_loadu_ps(acc + r * panel_rows);
      second[r] = _mm512_loadu_ps(acc + r * panel_rows + 16);
    }
  }

  void clear() {
#pragma GCC unroll 16
    for (uint32_t r = 0; r < Rows; ++r)
      first[r] = second[r] = _mm512_setzero_ps();
  }

  [[gnu::always_inline]] void add(const int32_t* a, const columns& w) {
#pragma GCC unroll 16
    for (uint32_t r = 0; r < Rows; ++r) {
      auto x = as_bf16(_mm512_set1_epi32(a[r]));
      first[r] = _mm512_dpbf16_ps(first[r], x, w.first);
      second[r] = _mm512_dpbf16_ps(second[r], x, w.second);
    }
  }

  void store(float* acc) const {
#pragma GCC unroll 16
    for (uint32_t r = 0; r < Rows; ++r) {
      _mm512_storeu_ps(acc + r * panel_rows, first[r]);
      _mm512_storeu_ps(acc + r * panel_rows + 16, second[r]);
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

template <uint32_t Rows>
void multiply_tile(const tile_args& t) {
  auto a = reinterpret_cast<const int32_t*>(t.a);
  accumulators<Rows> sums;
  if (t.x_scales)
    sums.clear();
  else
    sums.load(t.acc);
  auto next = t.next ? t.next : t.w;
  auto second = t.next_step > 64 ? 64 : 0;
  for (uint32_t i = 0; i < t.steps; ++i) {
    _mm_prefetch(next, _MM_HINT_T0);
    _mm_prefetch(next + second, _MM_HINT_T0);
    next += t.next_step;
    sums.add(a + i * Rows, load_columns(t.w + i * 128));
  }
  if (t.x_scales)
    sums.scale_into(t.acc, t.x_scales, t.w_scale);
  else
    sums.store(t.acc);
}

// -- FP8 ----------------------------------------------------------------------

constexpr uint32_t block_steps = 64; // 128 wide
constexpr uint32_t block_bytes = block_steps * 64;

/// How far ahead codes are fetched, beyond the panel in the next one.
constexpr uint32_t blocks_ahead = 4;

/// Block by block, in the order of memory, so that the processor fetches early
/// what comes: several blocks side by side take up to 1.8 times as long out of
/// memory. That dot products wait for each other is hidden by the next steps.
template <uint32_t Rows>
void multiply_f8_panel(const f8_panel_args& p) {
  auto a = reinterpret_cast<const int32_t*>(p.a);
  widener widen;
  for (uint32_t b = 0; b < p.blocks; ++b) {
    auto codes = p.codes + b * block_bytes;
    auto ahead = b + blocks_ahead;
    auto fetched = ahead < p.blocks ? p.codes + ahead * block_bytes
                                    : p.next + (ahead - p.blocks) * block_bytes;
    accumulators<Rows> sums;
    sums.clear();
    for (uint32_t i = 0; i < block_steps; ++i, a += Rows) {
      _mm_prefetch(fetched + i * 64, _MM_HINT_T0);
      sums.add(a, as_columns(widen(codes + i * 64)));
    }
    sums.scale_into(p.acc, p.x_scales + b * Rows, p.w_scales[b]);
  }
}

template <size_t... Rows>
void fill_pairs(kernel_set& set, std::index_sequence<Rows...>) {
  ((set.pair_tiles[Rows + 1] = multiply_tile<Rows + 1>), ...);
}

template <size_t... Rows>
void fill_panels(kernel_set& set, std::index_sequence<Rows...>) {
  ((set.f8_panels[Rows + 1] = multiply_f8_panel<Rows + 1>), ...);
}

} // namespace

void add_pairs(const uint32_t* a, const uint32_t* b, float* sums) {
  auto sum = _mm512_dpbf16_ps(_mm512_loadu_ps(sums),
                              as_bf16(_mm512_loadu_si512(a)),
                              as_bf16(_mm512_loadu_si512(b)));
  _mm512_storeu_ps(sums, sum);
}

void fill_dot(kernel_set& set) {
  set.pairs = true;
  set.mark_f8 = nullptr; // these panels look up every code
  fill_pairs(set, std::make_index_sequence<max_tile_rows>());
  fill_panels(set, std::make_index_sequence<max_f8_rows>());
}

} // namespace troupe::kernels::cpu

HWY_POP_ATTRIBUTES

namespace troupe::kernels::cpu {

bool has_dot() {
  return __builtin_cpu_supports("avx512bf16")
         && __builtin_cpu_supports("avx512vbmi");
}

} // namespace troupe::kernels::cpu

#else

namespace troupe::kernels::cpu {

void fill_dot(kernel_set&) {
  // nop
}

void add_pairs(const uint32_t*, const uint32_t*, float*) {
  // nop
}

bool has_dot() {
  return false;
}

} // namespace troupe::kernels::cpu

#endif
