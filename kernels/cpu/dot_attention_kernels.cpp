// Scores of absorbed attention by the BF16 dot product of AVX-512: q and the
// keys of the cache are BF16 as they are. Softmax weights have too many digits
// for it, so that values are summed elsewhere.

#include "kernels/cpu/fill.hpp"

#if defined(__x86_64__)

#include <cstring>
#include <hwy/base.h>
#include <immintrin.h>
#include <utility>

// Only what is written in this file may use these instructions: it is chosen
// at run time.
HWY_PUSH_ATTRIBUTES("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16");

namespace troupe::kernels::cpu {

namespace {

constexpr uint32_t lanes = 16;

[[gnu::always_inline]] inline __m512bh load_pairs(const void* from) {
  return reinterpret_cast<__m512bh>(_mm512_loadu_si512(from));
}

/// The plain intrinsics make GCC 12 warn of their own undefined vectors.
template <int Order>
[[gnu::always_inline]] inline __m512 take_quarters(__m512 a, __m512 b) {
  return _mm512_maskz_shuffle_f32x4(__mmask16(0xffff), a, b, Order);
}

/// Four levels of adding vectors two by two, after which lane p holds the sum
/// of the lanes of x[p]: of every vector lanes l and l + 8 are added, then
/// l and l + 4, l + 2 and l + 1.
[[gnu::always_inline]] inline __m512 sum_lanes(const __m512* x) {
  __m512 a[8], b[4], c[2];
#pragma GCC unroll 8
  for (uint32_t i = 0; i < 8; ++i)
    a[i] = _mm512_add_ps(take_quarters<0x44>(x[i], x[i + 8]),
                         take_quarters<0xee>(x[i], x[i + 8]));
#pragma GCC unroll 4
  for (uint32_t i = 0; i < 4; ++i)
    b[i] = _mm512_add_ps(take_quarters<0x88>(a[i], a[i + 4]),
                         take_quarters<0xdd>(a[i], a[i + 4]));
#pragma GCC unroll 2
  for (uint32_t i = 0; i < 2; ++i)
    c[i] = _mm512_add_ps(_mm512_shuffle_ps(b[i], b[i + 2], 0x44),
                         _mm512_shuffle_ps(b[i], b[i + 2], 0xee));
  auto sum = _mm512_add_ps(_mm512_shuffle_ps(c[0], c[1], 0x88),
                           _mm512_shuffle_ps(c[0], c[1], 0xdd));
  // Where the levels above have left x[15], .., x[0].
  auto order = _mm512_set_epi32(15, 13, 14, 12, 7, 5, 6, 4, 11, 9, 10, 8, 3, 1,
                                2, 0);
  return _mm512_maskz_permutexvar_ps(__mmask16(0xffff), order, sum);
}

/// How many keys ahead of their products keys are fetched: of a split that
/// nobody fetched before.
constexpr uint32_t keys_ahead = 8;

/// The key that is `keys_ahead` after key `j`; that one itself at the end.
const std::byte* key_ahead(const score_args& s, uint32_t j) {
  auto ahead = j + keys_ahead;
  if (ahead < s.num_keys)
    return s.keys + ahead * s.stride;
  return s.following ? s.following + (ahead - s.num_keys) * s.stride
                     : s.keys + j * s.stride;
}

/// Products of `Rows` rows of q with `Keys` keys, where lanes run over pairs of
/// columns.
template <uint32_t Rows, uint32_t Keys>
[[gnu::always_inline]] inline void
multiply_keys(const score_args& s, uint32_t j) {
  static_assert(Rows * Keys <= lanes);
  __m512 sums[lanes];
#pragma GCC unroll 16
  for (auto& sum : sums)
    sum = _mm512_setzero_ps();
  constexpr auto step = column_group * sizeof(uint16_t);
  auto groups = s.width / column_group;
  auto key = s.keys + j * s.stride;
  auto next = s.next.from + uint64_t{j} / 2 * groups * s.next.step;
  auto early = key_ahead(s, j);
  auto q = s.q_pairs;
  for (uint32_t i = 0; i < groups; ++i, key += step, early += step) {
#pragma GCC unroll 4
    for (uint32_t n = 0; n < (Keys + 1) / 2; ++n) {
      _mm_prefetch(next, _MM_HINT_T0);
      next += s.next.step;
    }
    __m512bh k[Keys];
#pragma GCC unroll 8
    for (uint32_t n = 0; n < Keys; ++n) {
      _mm_prefetch(early + n * s.stride, _MM_HINT_T0);
      k[n] = load_pairs(key + n * s.stride);
    }
#pragma GCC unroll 8
    for (uint32_t r = 0; r < Rows; ++r, q += column_group) {
      auto x = load_pairs(q);
#pragma GCC unroll 8
      for (uint32_t n = 0; n < Keys; ++n)
        sums[n * Rows + r] = _mm512_dpbf16_ps(sums[n * Rows + r], x, k[n]);
    }
  }
  alignas(64) float out[lanes];
  _mm512_store_ps(out, sum_lanes(sums));
  for (uint32_t n = 0; n < Keys; ++n)
    for (uint32_t r = 0; r < Rows; ++r)
      s.out[r * split_keys + j + n] = out[n * Rows + r];
}

template <uint32_t Rows>
void score(const score_args& s) {
  constexpr uint32_t keys = Rows <= 2 ? 8 : Rows <= 4 ? 4 : 2;
  uint32_t j = 0;
  for (; j + keys <= s.num_keys; j += keys)
    multiply_keys<Rows, keys>(s, j);
  for (; j < s.num_keys; ++j)
    multiply_keys<Rows, 1>(s, j);
}

template <size_t... Rows>
void fill_score(kernel_set& set, std::index_sequence<Rows...>) {
  ((set.score_pairs[Rows + 1] = score<Rows + 1>), ...);
}

} // namespace

void fill_dot_attention(kernel_set& set) {
  fill_score(set, std::make_index_sequence<max_attention_rows>());
}

} // namespace troupe::kernels::cpu

HWY_POP_ATTRIBUTES

#else

namespace troupe::kernels::cpu {

void fill_dot_attention(kernel_set&) {
  // nop
}

} // namespace troupe::kernels::cpu

#endif
