// The inner loops of attention: rows of q times keys, softmax weights times
// values, both read as they lie in the cache; the softmax; and 32 keys turned
// into a panel.

#include "kernels/cpu/targets.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/attention_kernels.cpp"
#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/cpu/fill.hpp"
#include "kernels/cpu/vectors.inl"

#include <cstring>
#include <limits>
#include <utility>

HWY_BEFORE_NAMESPACE();

namespace troupe::kernels::cpu::HWY_NAMESPACE {

namespace {

/// Accumulators and operands have to fit into the registers.
constexpr bool has_32_registers = HWY_TARGET == HWY_AVX3 || HWY_ARCH_ARM_A64;
constexpr uint32_t most_rows = has_32_registers ? max_attention_rows : 4;
constexpr uint32_t most_attend_rows = has_32_registers ? max_tile_rows : 6;

/// Two vectors of a key or value.
struct columns {
  vec first;
  vec second;
};

/// 2 N values of bf16: those at even places, then those at odd ones.
HWY_INLINE columns load_columns(const uint16_t* x) {
  auto bits = hn::LoadU(du, reinterpret_cast<const uint32_t*>(x));
  return {hn::BitCast(d, hn::ShiftLeft<16>(bits)),
          hn::BitCast(d, hn::And(bits, hn::Set(du, 0xffff0000)))};
}

HWY_INLINE columns load_columns(const float* x) {
  return {hn::LoadU(d, x), hn::LoadU(d, x + N)};
}

// -- sums over lanes ----------------------------------------------------------

#if HWY_TARGET == HWY_SCALAR

void sum_lanes(const vec* x, float* out) {
  for (uint32_t i = 0; i < 4; ++i)
    out[i] = hn::GetLane(x[i]);
}

#else

using four = hn::Vec<hn::FixedTag<float, 4>>;

HWY_INLINE four fold(hn::FixedTag<float, 4>, four x) {
  return x;
}

template <class D>
HWY_INLINE four fold(D, hn::Vec<D> x) {
  const hn::Half<D> half;
  auto sum = hn::Add(hn::LowerHalf(half, x), hn::UpperHalf(half, x));
  return fold(half, sum);
}

/// out[i] = sum of the lanes of x[i], i < 4, each in the same order.
HWY_INLINE void sum_lanes(const vec* x, float* out) {
  const hn::Repartition<uint64_t, lanes> wide;
  auto join = [](vec a, vec b) {
    return hn::Add(hn::InterleaveLower(d, a, b), hn::InterleaveUpper(d, a, b));
  };
  auto a = hn::BitCast(wide, join(x[0], x[1]));
  auto b = hn::BitCast(wide, join(x[2], x[3]));
  auto sum = hn::Add(hn::BitCast(d, hn::InterleaveLower(wide, a, b)),
                     hn::BitCast(d, hn::InterleaveUpper(wide, a, b)));
  hn::StoreU(fold(d, sum), hn::FixedTag<float, 4>{}, out);
}

#endif

// -- q times keys -------------------------------------------------------------

/// How many keys ahead of their products keys are fetched: of a split that
/// nobody fetched before.
constexpr uint32_t keys_ahead = 8;

/// The key that is `keys_ahead` after key `j`; that one itself at the end.
HWY_INLINE const std::byte* key_ahead(const score_args& s, uint32_t j) {
  auto ahead = j + keys_ahead;
  if (ahead < s.num_keys)
    return s.keys + ahead * s.stride;
  return s.following ? s.following + (ahead - s.num_keys) * s.stride
                     : s.keys + j * s.stride;
}

/// Products of `Rows` rows of q with `Keys` keys. Lanes run over the width, so
/// that keys need no turning; each product has N sums, added up in one order.
template <uint32_t Rows, uint32_t Keys, class T>
HWY_INLINE void multiply_keys(const score_args& s, uint32_t j) {
  constexpr uint32_t count = (Rows * Keys + 3) / 4 * 4;
  vec sums[count];
#pragma GCC unroll 32
  for (auto& sum : sums)
    sum = hn::Zero(d);
  auto key = s.keys + j * s.stride;
  auto next = s.next.from
              + uint64_t{j} / 2 * (s.width / column_group) * s.next.step;
  auto early = key_ahead(s, j);
  auto end = key + s.width * sizeof(T);
  for (auto q = s.q; key < end; key += column_group * sizeof(T)) {
    hwy::Prefetch(next);
    next += s.next.step;
#pragma GCC unroll 4
    for (uint32_t n = 0; n < Keys; ++n)
      hwy::Prefetch(early + n * s.stride);
    early += column_group * sizeof(T);
#pragma GCC unroll 4
    for (uint32_t i = 0; i < column_group; i += 2 * N, q += 2 * N) {
      columns k[Keys];
#pragma GCC unroll 4
      for (uint32_t n = 0; n < Keys; ++n)
        k[n] = load_columns(reinterpret_cast<const T*>(key + n * s.stride) + i);
#pragma GCC unroll 16
      for (uint32_t r = 0; r < Rows; ++r) {
        auto first = hn::LoadU(d, q + r * column_group);
        auto second = hn::LoadU(d, q + r * column_group + N);
#pragma GCC unroll 4
        for (uint32_t n = 0; n < Keys; ++n) {
          auto& sum = sums[n * Rows + r];
          sum = hn::MulAdd(first, k[n].first, sum);
          sum = hn::MulAdd(second, k[n].second, sum);
        }
      }
    }
    q += (Rows - 1) * column_group;
  }
  float out[count];
#pragma GCC unroll 16
  for (uint32_t i = 0; i < count; i += 4)
    sum_lanes(sums + i, out + i);
  for (uint32_t n = 0; n < Keys; ++n)
    for (uint32_t r = 0; r < Rows; ++r)
      s.out[r * split_keys + j + n] = out[n * Rows + r];
}

template <uint32_t Rows, class T>
void score(const score_args& s) {
  uint32_t j = 0;
  for (; j + 2 <= s.num_keys; j += 2)
    multiply_keys<Rows, 2, T>(s, j);
  if (j < s.num_keys)
    multiply_keys<Rows, 1, T>(s, j);
}

// -- weights times values -----------------------------------------------------

/// Values of so many keys stay in the near caches while all columns pass.
constexpr uint32_t keys_together = 64;

template <uint32_t Rows, class T>
HWY_INLINE void add_values(const attend_args& a, uint32_t column,
                           uint32_t first, uint32_t last) {
  vec sums[2 * Rows];
  auto acc = a.acc + column;
#pragma GCC unroll 16
  for (uint32_t r = 0; r < Rows; ++r) {
    sums[2 * r] = hn::LoadU(d, acc + r * a.acc_stride);
    sums[2 * r + 1] = hn::LoadU(d, acc + r * a.acc_stride + N);
  }
  auto value = a.values + first * a.stride + column * sizeof(T);
  auto weight = a.weights + first;
  auto step = column < a.cols * 9 / 16 ? a.next.step : 0;
  auto next = a.next.from + uint64_t{column} / column_group * a.num_keys * step;
  for (auto end = a.weights + last; weight < end; ++weight, value += a.stride) {
    hwy::Prefetch(next);
    next += step;
    auto v = load_columns(reinterpret_cast<const T*>(value));
#pragma GCC unroll 16
    for (uint32_t r = 0; r < Rows; ++r) {
      auto w = hn::Set(d, weight[r * split_keys]);
      sums[2 * r] = hn::MulAdd(w, v.first, sums[2 * r]);
      sums[2 * r + 1] = hn::MulAdd(w, v.second, sums[2 * r + 1]);
    }
  }
#pragma GCC unroll 16
  for (uint32_t r = 0; r < Rows; ++r) {
    hn::StoreU(sums[2 * r], d, acc + r * a.acc_stride);
    hn::StoreU(sums[2 * r + 1], d, acc + r * a.acc_stride + N);
  }
}

template <uint32_t Rows, class T>
void attend(const attend_args& a) {
  for (uint32_t first = 0; first < a.num_keys; first += keys_together) {
    auto last = std::min(a.num_keys, first + keys_together);
    for (uint32_t column = 0; column < a.cols; column += 2 * N)
      add_values<Rows, T>(a, column, first, last);
  }
}

// -- order of columns ---------------------------------------------------------

#if HWY_TARGET == HWY_SCALAR

void split_pairs(const float* x, uint32_t count, float* out) {
  std::copy_n(x, count, out);
}

void join_pairs(const float* x, uint32_t count, float* out) {
  std::copy_n(x, count, out);
}

#else

void split_pairs(const float* x, uint32_t count, float* out) {
  for (uint32_t i = 0; i < count; i += 2 * N) {
    vec even, odd;
    hn::LoadInterleaved2(d, x + i, even, odd);
    hn::StoreU(even, d, out + i);
    hn::StoreU(odd, d, out + i + N);
  }
}

void join_pairs(const float* x, uint32_t count, float* out) {
  for (uint32_t i = 0; i < count; i += 2 * N)
    hn::StoreInterleaved2(hn::LoadU(d, x + i), hn::LoadU(d, x + i + N), d,
                          out + i);
}

#endif

// -- softmax ------------------------------------------------------------------

/// Sums lane by lane, then over lanes: zeros at the end change nothing.
float soften(const soften_args& s) {
  auto x = s.scores;
  auto scale = hn::Set(d, s.scale);
  std::fill(x + s.seen, x + s.count, -std::numeric_limits<float>::infinity());
  auto most = hn::Set(d, *s.max);
  for (uint32_t i = 0; i < s.count; i += N) {
    auto product = hn::Mul(hn::LoadU(d, x + i), scale);
    hn::StoreU(product, d, x + i);
    most = hn::Max(most, product);
  }
  auto top = hn::GetLane(hn::MaxOfLanes(d, most));
  auto shift = hn::Set(d, top);
  auto sum = hn::Zero(d);
  for (uint32_t i = 0; i < s.count; i += N) {
    auto y = exp(hn::Sub(hn::LoadU(d, x + i), shift));
    hn::StoreU(y, d, x + i);
    sum = hn::Add(sum, y);
  }
  auto keep = hn::GetLane(exp(hn::Set(d, *s.max - top)));
  *s.max = top;
  *s.sum = *s.sum * keep + hn::GetLane(hn::SumOfLanes(d, sum));
  return keep;
}

void multiply(float* x, uint32_t count, float by) {
  auto factor = hn::Set(d, by);
  map(x, x, count, x, [=](vec a, vec) { return hn::Mul(a, factor); });
}

/// The sums of two parts of the keys as those of both.
void merge(const merge_args& m) {
  auto top = std::max(*m.max, m.other_max);
  auto keep = exp(hn::Set(d, *m.max - top));
  auto take = exp(hn::Set(d, m.other_max - top));
  auto add = [=](vec a, vec b) {
    return hn::MulAdd(a, keep, hn::Mul(b, take));
  };
  map(m.acc, m.other_acc, m.count, m.acc, add);
  *m.max = top;
  *m.sum = *m.sum * hn::GetLane(keep) + m.other_sum * hn::GetLane(take);
}

// -- panels -------------------------------------------------------------------

#if HWY_TARGET == HWY_SCALAR

constexpr uint32_t words_together = 1;

void transpose_words(const std::byte* const* rows, uint32_t i, uint32_t* out) {
  for (uint32_t r = 0; r < 4; ++r)
    std::memcpy(out + r, rows[r] + i * 4, 4);
}

#else

constexpr hn::FixedTag<uint32_t, 4> words4;
constexpr hn::FixedTag<uint64_t, 2> words2;

constexpr uint32_t words_together = 4;

/// Words [i, i + 4) of four rows.
void transpose_words(const std::byte* const* rows, uint32_t i, uint32_t* out) {
  auto load = [&](uint32_t r) {
    return hn::LoadU(words4, reinterpret_cast<const uint32_t*>(rows[r]) + i);
  };
  auto wide = [](auto v) { return hn::BitCast(words2, v); };
  auto r0 = load(0);
  auto r1 = load(1);
  auto r2 = load(2);
  auto r3 = load(3);
  auto low01 = wide(hn::InterleaveLower(words4, r0, r1));
  auto low23 = wide(hn::InterleaveLower(words4, r2, r3));
  auto high01 = wide(hn::InterleaveUpper(words4, r0, r1));
  auto high23 = wide(hn::InterleaveUpper(words4, r2, r3));
  auto store = [&](auto v, uint32_t j) {
    hn::StoreU(hn::BitCast(words4, v), words4, out + j * panel_rows);
  };
  store(hn::InterleaveLower(words2, low01, low23), 0);
  store(hn::InterleaveUpper(words2, low01, low23), 1);
  store(hn::InterleaveLower(words2, high01, high23), 2);
  store(hn::InterleaveUpper(words2, high01, high23), 3);
}

#endif

/// Four rows at a time. Words left over go one by one.
void transpose(const std::byte* const* rows, uint32_t words, uint32_t* out) {
  uint32_t i = 0;
  for (; i + words_together <= words; i += words_together)
    for (uint32_t r = 0; r < panel_rows; r += 4)
      transpose_words(rows + r, i, out + i * panel_rows + r);
  for (; i < words; ++i)
    for (uint32_t r = 0; r < panel_rows; ++r)
      std::memcpy(out + i * panel_rows + r, rows[r] + i * 4, 4);
}

template <uint32_t Columns>
void widen_columns(const uint32_t* panel, uint32_t steps, float* out) {
  for (uint32_t i = 0; i < steps; ++i, panel += panel_rows) {
    uint32_t words[2 * Columns];
#pragma GCC unroll 16
    for (uint32_t c = 0; c < Columns; ++c) {
      words[c] = panel[c] << 16;
      words[Columns + c] = panel[c] & 0xffff0000;
    }
    std::memcpy(out + i * 2 * Columns, words, sizeof(words));
  }
}

template <size_t... Columns>
void fill_widen(kernel_set& set, std::index_sequence<Columns...>) {
  ((set.widen_columns[Columns + 1] = widen_columns<Columns + 1>), ...);
}

template <size_t... Rows>
void fill_score(kernel_set& set, std::index_sequence<Rows...>) {
  ((set.score_bf16[Rows + 1] = score<Rows + 1, uint16_t>), ...);
  ((set.score_f32[Rows + 1] = score<Rows + 1, float>), ...);
}

template <size_t... Rows>
void fill_attend(kernel_set& set, std::index_sequence<Rows...>) {
  ((set.attend_bf16[Rows + 1] = attend<Rows + 1, uint16_t>), ...);
  ((set.attend_f32[Rows + 1] = attend<Rows + 1, float>), ...);
}

} // namespace

void fill_attention(kernel_set& set) {
  set.attention_rows = most_rows;
  set.attend_rows = most_attend_rows;
  fill_score(set, std::make_index_sequence<most_rows>());
  fill_attend(set, std::make_index_sequence<most_attend_rows>());
  set.split_pairs = split_pairs;
  set.join_pairs = join_pairs;
  set.soften = soften;
  set.multiply = multiply;
  set.merge = merge;
  set.transpose = transpose;
  fill_widen(set, std::make_index_sequence<max_tile_rows>());
}

} // namespace troupe::kernels::cpu::HWY_NAMESPACE

HWY_AFTER_NAMESPACE();
