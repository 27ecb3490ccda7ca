// Loops over single rows. A tail goes through a padded copy of the last vector,
// so that a value's bits do not depend on its place in the row.

#include "kernels/cpu/targets.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/row_kernels.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/cpu/fill.hpp"
#include "kernels/cpu/vectors.inl"
#include "kernels/host/floats.hpp"
#include "kernels/tensor.hpp"

#include <algorithm>
#include <cmath>

HWY_BEFORE_NAMESPACE();

namespace troupe::kernels::cpu::HWY_NAMESPACE {

namespace {

// -- norm ---------------------------------------------------------------------

/// In FP64: the mean of many squares to the last bit of FP32.
double sum_of_squares(const float* x, uint32_t count) {
  constexpr hn::CappedTag<double, 8> wide;
  constexpr hn::Rebind<float, decltype(wide)> narrow;
  constexpr uint32_t together = hn::MaxLanes(wide);
  auto sum = hn::Zero(wide);
  auto add = [&](const float* values) {
    auto v = hn::PromoteTo(wide, hn::LoadU(narrow, values));
    sum = hn::MulAdd(v, v, sum);
  };
  uint32_t i = 0;
  for (; i + together <= count; i += together)
    add(x + i);
  if (i < count) {
    float padded[together] = {};
    std::copy(x + i, x + count, padded);
    add(padded);
  }
  return hn::GetLane(hn::SumOfLanes(wide, sum));
}

void rms_norm(const float* x, const float* weight, uint32_t count, float eps,
              float* out) {
  auto root = std::sqrt(sum_of_squares(x, count) / count + double{eps});
  auto by = hn::Set(d, float(1 / root));
  map(x, weight, count, out,
      [=](vec a, vec w) { return hn::Mul(hn::Mul(a, by), w); });
}

// -- narrow floats ------------------------------------------------------------

void to_bf16(const float* x, uint32_t count, uint16_t* out) {
  uint32_t i = 0;
  for (; i + N <= count; i += N)
    hn::StoreU(round_to_bf16(hn::LoadU(d, x + i)), d16, out + i);
  for (; i < count; ++i)
    out[i] = host::to_bf16(x[i]);
}

void from_bf16(const uint16_t* x, uint32_t count, float* out) {
  uint32_t i = 0;
  for (; i + N <= count; i += N)
    hn::StoreU(widen(x + i), d, out + i);
  for (; i < count; ++i)
    out[i] = host::from_bf16(x[i]);
}

/// max|x|, where NaNs do not count.
float largest_magnitude(const float* x, uint32_t count) {
  auto most = hn::Zero(d);
  uint32_t i = 0;
  for (; i + N <= count; i += N) {
    auto a = hn::Abs(hn::LoadU(d, x + i));
    most = hn::IfThenElse(hn::Gt(a, most), a, most);
  }
  float out = hn::GetLane(hn::MaxOfLanes(d, most));
  for (; i < count; ++i)
    out = std::fabs(x[i]) > out ? std::fabs(x[i]) : out;
  return out;
}

/// As host::to_e4m3, for a vector.
hn::Vec<int32s> to_e4m3(vec x) {
  auto all = hn::BitCast(di, x);
  auto sign = hn::And(hn::ShiftRight<24>(all), hn::Set(di, 0x80));
  auto magnitude = hn::Abs(x);
  auto bits = hn::BitCast(di, magnitude);
  auto one = hn::Set(di, 1);
  auto odd = hn::And(hn::ShiftRight<20>(bits), one);
  auto rounded = hn::Add(hn::Add(bits, hn::Set(di, 0x7ffff)), odd);
  auto normal = hn::Sub(hn::ShiftRight<20>(rounded),
                        hn::Set(di, int32_t{120} << 3));
  auto unit = hn::Set(d, 0x1p14f);
  auto sum = hn::BitCast(di, hn::Add(magnitude, unit));
  auto small = hn::Sub(sum, hn::BitCast(di, unit));
  auto code = hn::IfThenElse(hn::Lt(bits, bits_of(0x1p-6f)), small, normal);
  code = hn::IfThenElse(hn::Lt(bits, bits_of(host::e4m3_max)), code,
                        hn::Set(di, 0x7e));
  code = hn::Or(code, sign);
  auto infinite = hn::Set(di, 0x7f800000);
  return hn::IfThenElse(hn::Gt(bits, infinite), hn::Set(di, host::e4m3_nan),
                        code);
}

void to_e4m3_tile(const float* x, uint32_t count, uint8_t* codes,
                  float& scale) {
  scale = largest_magnitude(x, count) / host::e4m3_max;
  if (scale == 0) {
    std::fill_n(codes, count, 0);
    return;
  }
  auto by = hn::Set(d, scale);
  uint32_t i = 0;
  for (; i + N <= count; i += N) {
    auto code = to_e4m3(hn::Div(hn::LoadU(d, x + i), by));
    hn::StoreU(hn::DemoteTo(d8, code), d8, codes + i);
  }
  for (; i < count; ++i)
    codes[i] = host::to_e4m3(x[i], scale);
}

void to_e4m3(const float* x, uint32_t count, uint8_t* codes, float* scales) {
  for (uint32_t i = 0; i < count; i += scale_block)
    to_e4m3_tile(x + i, std::min(scale_block, count - i), codes + i,
                 scales[i / scale_block]);
}

void from_e4m3(const uint8_t* codes, uint32_t count, float* out) {
  uint32_t i = 0;
  for (; i + N <= count; i += N) {
    auto code = hn::PromoteTo(di, hn::LoadU(d8, codes + i));
    hn::StoreU(from_e4m3(di, code), d, out + i);
  }
  for (; i < count; ++i)
    out[i] = host::from_e4m3(codes[i]);
}

// -- activation ---------------------------------------------------------------

vec sigmoid(vec x) {
  auto one = hn::Set(d, 1.0f);
  return hn::Div(one, hn::Add(one, exp(hn::Neg(x))));
}

void swiglu(const float* gate, const float* up, uint32_t count, float* out) {
  map(gate, up, count, out, [](vec g, vec u) {
    auto bottom = hn::Add(hn::Set(d, 1.0f), exp(hn::Neg(g)));
    return hn::Mul(hn::Div(g, bottom), u);
  });
}

void sigmoid(float* x, uint32_t count) {
  map(x, x, count, x, [](vec a, vec) { return sigmoid(a); });
}

void softmax(float* x, uint32_t count) {
  auto top = hn::Set(d, *std::max_element(x, x + count));
  map(x, x, count, x, [=](vec a, vec) { return exp(hn::Sub(a, top)); });
  float sum = 0;
  for (uint32_t i = 0; i < count; ++i)
    sum += x[i];
  for (uint32_t i = 0; i < count; ++i)
    x[i] /= sum;
}

// -- rotation -----------------------------------------------------------------

/// One or two roundings: a few pairs a row, not worth shuffles.
void rotate(const float* x, const float* cos_sin, uint32_t count, float* out) {
  for (uint32_t i = 0; i + 1 < count; i += 2) {
    auto a = x[i];
    auto b = x[i + 1];
    out[i] = a * cos_sin[i] - b * cos_sin[i + 1];
    out[i + 1] = a * cos_sin[i + 1] + b * cos_sin[i];
  }
}

// -- combine ------------------------------------------------------------------

float combine_one(const combine_args& c, uint32_t i) {
  float acc = 0;
  for (uint32_t j = 0; j < c.k; ++j) {
    auto row = c.rows[j];
    auto x = c.bf16 ? host::from_bf16(reinterpret_cast<const uint16_t*>(row)[i])
                    : reinterpret_cast<const float*>(row)[i];
    acc = std::fma(c.weights[j], x, acc);
  }
  return c.shared ? acc + c.shared[i] : acc;
}

vec combine_vector(const combine_args& c, uint32_t i) {
  auto acc = hn::Zero(d);
  for (uint32_t j = 0; j < c.k; ++j) {
    auto row = c.rows[j];
    auto x = c.bf16 ? widen(reinterpret_cast<const uint16_t*>(row) + i)
                    : hn::LoadU(d, reinterpret_cast<const float*>(row) + i);
    acc = hn::MulAdd(hn::Set(d, c.weights[j]), x, acc);
  }
  return c.shared ? hn::Add(acc, hn::LoadU(d, c.shared + i)) : acc;
}

void combine(const combine_args& c) {
  uint32_t i = 0;
  if (has_fma)
    for (; i + N <= c.cols; i += N) {
      auto old = hn::LoadU(d, c.residual + i);
      hn::StoreU(hn::Add(old, combine_vector(c, i)), d, c.residual + i);
    }
  for (; i < c.cols; ++i)
    c.residual[i] += combine_one(c, i);
}

} // namespace

void fill_rows(kernel_set& set) {
  set.rms_norm = rms_norm;
  set.to_bf16 = to_bf16;
  set.from_bf16 = from_bf16;
  set.to_e4m3 = to_e4m3;
  set.from_e4m3 = from_e4m3;
  set.swiglu = swiglu;
  set.rotate = rotate;
  set.combine = combine;
  set.sigmoid = sigmoid;
  set.softmax = softmax;
}

} // namespace troupe::kernels::cpu::HWY_NAMESPACE

HWY_AFTER_NAMESPACE();
