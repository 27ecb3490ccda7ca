// Tiles of products in FP32 multiply-add, and FP8 codes to BF16.

#include "kernels/cpu/targets.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/tile_kernels.cpp"
#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/cpu/fill.hpp"
#include "kernels/cpu/vectors.inl"

#include <utility>

HWY_BEFORE_NAMESPACE();

namespace troupe::kernels::cpu::HWY_NAMESPACE {

namespace {

/// Accumulators and operands have to fit into the registers.
constexpr uint32_t tile_rows
  = HWY_TARGET == HWY_AVX3 || HWY_ARCH_ARM_A64 ? max_tile_rows : 6;

constexpr uint32_t line = 64; // of the caches, in bytes

/// Two vectors of outputs of one step of k.
struct columns {
  vec first;
  vec second;
};

columns load_columns(const float* w) {
  return {hn::Load(d, w), hn::Load(d, w + hn::Lanes(d))};
}

/// Which member of each pair.
enum class member { even, odd };

template <member Which>
vec widen(const uint16_t* pairs) {
  const hn::RebindToUnsigned<lanes> du;
  auto bits = hn::Load(du, reinterpret_cast<const uint32_t*>(pairs));
  if constexpr (Which == member::even)
    return hn::BitCast(d, hn::ShiftLeft<16>(bits));
  else
    return hn::BitCast(d, hn::And(bits, hn::Set(du, 0xffff0000)));
}

template <member Which>
columns load_columns(const uint16_t* w) {
  return {widen<Which>(w), widen<Which>(w + 2 * hn::Lanes(d))};
}

template <uint32_t Rows>
struct accumulators {
  vec first[Rows];
  vec second[Rows];

  void load(const float* acc) {
#pragma GCC unroll 16
    for (uint32_t r = 0; r < Rows; ++r) {
      first[r] = hn::LoadU(d, acc + r * panel_rows);
      second[r] = hn::LoadU(d, acc + r * panel_rows + hn::Lanes(d));
    }
  }

  void clear() {
#pragma GCC unroll 16
    for (uint32_t r = 0; r < Rows; ++r)
      first[r] = second[r] = hn::Zero(d);
  }

  HWY_INLINE void add(const float* a, const columns& w) {
#pragma GCC unroll 16
    for (uint32_t r = 0; r < Rows; ++r) {
      auto x = hn::Set(d, a[r]);
      first[r] = hn::MulAdd(x, w.first, first[r]);
      second[r] = hn::MulAdd(x, w.second, second[r]);
    }
  }

  void store(float* acc) const {
#pragma GCC unroll 16
    for (uint32_t r = 0; r < Rows; ++r) {
      hn::StoreU(first[r], d, acc + r * panel_rows);
      hn::StoreU(second[r], d, acc + r * panel_rows + hn::Lanes(d));
    }
  }

  void add_scaled(float* acc, const float* x_scales, float w_scale) const {
    auto by = hn::Set(d, w_scale);
    for (uint32_t r = 0; r < Rows; ++r) {
      auto out = acc + r * panel_rows;
      auto x = hn::Set(d, x_scales[r]);
      auto a = hn::MulAdd(hn::Mul(first[r], x), by, hn::LoadU(d, out));
      hn::StoreU(a, d, out);
      out += hn::Lanes(d);
      auto b = hn::MulAdd(hn::Mul(second[r], x), by, hn::LoadU(d, out));
      hn::StoreU(b, d, out);
    }
  }
};

template <uint32_t Rows, class T>
void multiply_columns(const tile_args& t, uint32_t first) {
  auto a = reinterpret_cast<const float*>(t.a);
  auto w = reinterpret_cast<const T*>(t.w);
  accumulators<Rows> sums;
  if (t.x_scales)
    sums.clear();
  else
    sums.load(t.acc + first);
  auto next = t.next ? t.next : t.w;
  auto second = t.next_step > line ? line : 0;
  for (uint32_t i = 0; i < t.steps; ++i) {
    hwy::Prefetch(next);
    hwy::Prefetch(next + second);
    next += t.next_step;
    if constexpr (sizeof(T) == 4) {
      sums.add(a, load_columns(w + i * panel_rows + first));
      a += Rows;
    } else {
      auto pairs = w + (i * panel_rows + first) * 2;
      sums.add(a, load_columns<member::even>(pairs));
      sums.add(a + Rows, load_columns<member::odd>(pairs));
      a += 2 * Rows;
    }
  }
  if (t.x_scales)
    sums.add_scaled(t.acc + first, t.x_scales, t.w_scale);
  else
    sums.store(t.acc + first);
}

template <uint32_t Rows, class T>
void multiply_tile(const tile_args& t) {
  for (uint32_t first = 0; first < panel_rows; first += 2 * hn::Lanes(d))
    multiply_columns<Rows, T>(t, first);
}

/// Eight codes to BF16, exactly: three bits of mantissa go into seven.
void widen_codes(const uint8_t* codes, uint16_t* out) {
  const hn::CappedTag<int32_t, 8> ints;
  const hn::Rebind<uint8_t, decltype(ints)> bytes;
  const hn::Rebind<uint16_t, decltype(ints)> words;
  for (size_t i = 0; i < 8; i += hn::Lanes(ints)) {
    auto code = hn::PromoteTo(ints, hn::LoadU(bytes, codes + i));
    auto value = hn::BitCast(hn::RebindToUnsigned<decltype(ints)>{},
                             from_e4m3(ints, code));
    auto high = hn::BitCast(ints, hn::ShiftRight<16>(value));
    hn::StoreU(hn::DemoteTo(words, high), words, out + i);
  }
}

void stage_f8(const std::byte* codes, uint32_t steps, uint16_t* out) {
  auto in = reinterpret_cast<const uint8_t*>(codes);
  for (uint32_t i = 0; i < steps; ++i, in += 64, out += 64)
    for (uint32_t chunk = 0; chunk < 8; ++chunk)
      widen_codes(in + chunk * 8, out + chunk % 2 * 32 + chunk / 2 * 8);
}

void widen_f8(const std::byte* codes, uint32_t steps, float* out) {
  for (uint32_t i = 0; i < steps; ++i, out += 2 * panel_rows) {
    alignas(64) uint16_t pairs[2 * panel_rows];
    stage_f8(codes + i * 2 * panel_rows, 1, pairs);
    for (uint32_t n = 0; n < panel_rows; n += hn::Lanes(d)) {
      hn::Store(widen<member::even>(pairs + 2 * n), d, out + n);
      hn::Store(widen<member::odd>(pairs + 2 * n), d, out + panel_rows + n);
    }
  }
}

template <size_t... Rows>
void fill_rows_of(kernel_set& set, std::index_sequence<Rows...>) {
  ((set.f32_tiles[Rows + 1] = multiply_tile<Rows + 1, float>), ...);
  ((set.bf16_tiles[Rows + 1] = multiply_tile<Rows + 1, uint16_t>), ...);
}

} // namespace

void fill_tiles(kernel_set& set) {
  set.tile_rows = tile_rows;
  set.stage_f8 = stage_f8;
  set.widen_f8 = widen_f8;
  fill_rows_of(set, std::make_index_sequence<tile_rows>());
}

} // namespace troupe::kernels::cpu::HWY_NAMESPACE

HWY_AFTER_NAMESPACE();
