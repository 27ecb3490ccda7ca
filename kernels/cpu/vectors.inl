// Vectors of FP32 and the functions that rows and attention share. Included
// once for each instruction set: the guard below is Highway's pattern.

#if defined(TROUPE_KERNELS_CPU_VECTORS) == defined(HWY_TARGET_TOGGLE)
#ifdef TROUPE_KERNELS_CPU_VECTORS
#undef TROUPE_KERNELS_CPU_VECTORS
#else
#define TROUPE_KERNELS_CPU_VECTORS
#endif

#include <hwy/highway.h>

#include "kernels/host/floats.hpp"

#include <algorithm>
#include <cstdint>

HWY_BEFORE_NAMESPACE();

namespace troupe::kernels::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

namespace {

using lanes = hn::CappedTag<float, 16>;
using int32s = hn::RebindToSigned<lanes>;
using vec = hn::Vec<lanes>;

constexpr lanes d;
constexpr int32s di;
constexpr hn::RebindToUnsigned<lanes> du;
constexpr hn::Rebind<uint16_t, lanes> d16;
constexpr hn::Rebind<uint8_t, lanes> d8;
constexpr uint32_t N = hn::MaxLanes(d);

/// Whether MulAdd rounds once.
constexpr bool has_fma = HWY_TARGET != HWY_EMU128 && HWY_TARGET != HWY_SCALAR
                         && HWY_TARGET != HWY_SSSE3 && HWY_TARGET != HWY_SSE4;

inline hn::Vec<int32s> bits_of(float x) {
  return hn::BitCast(di, hn::Set(d, x));
}

inline vec widen(const uint16_t* bf16) {
  auto bits = hn::PromoteTo(du, hn::LoadU(d16, bf16));
  return hn::BitCast(d, hn::ShiftLeft<16>(bits));
}

/// To nearest, ties to even; as host::to_bf16.
inline hn::Vec<decltype(d16)> round_to_bf16(vec x) {
  auto bits = hn::BitCast(di, x);
  auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(di, 1));
  auto sum = hn::Add(hn::Add(bits, hn::Set(di, 0x7fff)), odd);
  auto nan = hn::Or(bits, hn::Set(di, 0x400000));
  auto magnitude = hn::And(bits, hn::Set(di, 0x7fffffff));
  auto is_nan = hn::Gt(magnitude, hn::Set(di, 0x7f800000));
  auto out = hn::BitCast(du, hn::IfThenElse(is_nan, nan, sum));
  return hn::DemoteTo(d16, hn::BitCast(di, hn::ShiftRight<16>(out)));
}

/// FP8 codes, one in each lane of `ints`, as host::from_e4m3. Exponent 0 means
/// multiples of 2^-9, which (1 + m / 8) 2^-6 - 2^-6 gives.
template <class D>
hn::Vec<hn::RebindToFloat<D>> from_e4m3(D ints, hn::Vec<D> code) {
  constexpr hn::RebindToFloat<D> floats;
  auto magnitude = hn::And(code, hn::Set(ints, 0x7f));
  auto mantissa = hn::ShiftLeft<20>(magnitude);
  auto normal = hn::Add(mantissa, hn::Set(ints, 120 << 23));
  auto shifted = hn::BitCast(floats,
                             hn::Add(mantissa, hn::Set(ints, 121 << 23)));
  auto small = hn::BitCast(ints, hn::Sub(shifted, hn::Set(floats, 0x1p-6f)));
  auto is_small = hn::Lt(magnitude, hn::Set(ints, 8));
  auto is_nan = hn::Eq(magnitude, hn::Set(ints, host::e4m3_nan));
  auto value = hn::IfThenElse(is_small, small, normal);
  value = hn::IfThenElse(is_nan, hn::Set(ints, 0x7fc00000), value);
  auto sign = hn::ShiftLeft<24>(hn::And(code, hn::Set(ints, 0x80)));
  return hn::BitCast(floats, hn::Or(value, sign));
}

/// 2^n of whole n in [-126, 127].
inline vec power_of_two(hn::Vec<int32s> n) {
  return hn::BitCast(d, hn::ShiftLeft<23>(hn::Add(n, hn::Set(di, 127))));
}

/// About one unit in the last place, infinity and zero where it has to. A NaN
/// stays one: the constants come first. [Cephes, expf]
inline vec exp(vec x) {
  x = hn::Min(hn::Set(d, 89.0f), hn::Max(hn::Set(d, -105.0f), x));
  auto n = hn::Round(hn::Mul(x, hn::Set(d, 1.44269504f)));
  auto r = hn::NegMulAdd(n, hn::Set(d, 0.693359375f), x);
  r = hn::NegMulAdd(n, hn::Set(d, -2.12194440e-4f), r);
  auto p = hn::Set(d, 1.9875691500e-4f);
  p = hn::MulAdd(p, r, hn::Set(d, 1.3981999507e-3f));
  p = hn::MulAdd(p, r, hn::Set(d, 8.3334519073e-3f));
  p = hn::MulAdd(p, r, hn::Set(d, 4.1665795894e-2f));
  p = hn::MulAdd(p, r, hn::Set(d, 1.6666665459e-1f));
  p = hn::MulAdd(p, r, hn::Set(d, 5.0000001201e-1f));
  auto y = hn::Add(hn::MulAdd(p, hn::Mul(r, r), r), hn::Set(d, 1.0f));
  // In two steps: one factor could not be written as a float.
  auto whole = hn::ConvertTo(di, n);
  auto half = hn::ShiftRight<1>(whole);
  auto rest = hn::Sub(whole, half);
  return hn::Mul(hn::Mul(y, power_of_two(half)), power_of_two(rest));
}

/// out[i] = fn(a[i], b[i]); `out` may be `a` or `b`.
template <class Fn>
void map(const float* a, const float* b, uint32_t count, float* out, Fn fn) {
  uint32_t i = 0;
  for (; i + N <= count; i += N)
    hn::StoreU(fn(hn::LoadU(d, a + i), hn::LoadU(d, b + i)), d, out + i);
  if (i == count)
    return;
  float padded_a[N] = {};
  float padded_b[N] = {};
  std::copy(a + i, a + count, padded_a);
  std::copy(b + i, b + count, padded_b);
  hn::StoreU(fn(hn::LoadU(d, padded_a), hn::LoadU(d, padded_b)), d, padded_a);
  std::copy_n(padded_a, count - i, out + i);
}

} // namespace

} // namespace troupe::kernels::cpu::HWY_NAMESPACE

HWY_AFTER_NAMESPACE();

#endif
