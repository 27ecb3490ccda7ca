// The parts of attention that are no products: 64 keys turned into panels, and
// the running softmax.

#include "kernels/cpu/targets.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/attention_kernels.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/cpu/fill.hpp"
#include "kernels/cpu/vectors.inl"

#include <cstring>
#include <limits>

HWY_BEFORE_NAMESPACE();

namespace troupe::kernels::cpu::HWY_NAMESPACE {

namespace {

constexpr uint32_t num_keys = 64;

#if HWY_TARGET == HWY_SCALAR

constexpr uint32_t words_together = 1;

void transpose_words(const std::byte* const* rows, uint32_t i, uint32_t* out) {
  for (uint32_t r = 0; r < 4; ++r)
    std::memcpy(out + r, rows[r] + i * 4, 4);
}

void interleave(const uint16_t* a, const uint16_t* b, uint16_t* out) {
  for (uint32_t i = 0; i < panel_rows; ++i) {
    out[2 * i] = a[i];
    out[2 * i + 1] = b[i];
  }
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

void interleave(const uint16_t* a, const uint16_t* b, uint16_t* out) {
  constexpr hn::FixedTag<uint16_t, 8> d8x16;
  for (uint32_t i = 0; i < panel_rows; i += 8) {
    auto first = hn::LoadU(d8x16, a + i);
    auto second = hn::LoadU(d8x16, b + i);
    auto low = hn::InterleaveLower(d8x16, first, second);
    auto high = hn::InterleaveUpper(d8x16, first, second);
    hn::StoreU(low, d8x16, out + 2 * i);
    hn::StoreU(high, d8x16, out + 2 * i + 8);
  }
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

/// Lane by lane over 64 values, then over the lanes of 16, in a fixed order
/// that does not depend on how many are zero.
float sum_of(const float* x) {
  float parts[16];
  for (uint32_t i = 0; i < 16; ++i)
    parts[i] = (x[i] + x[i + 16]) + (x[i + 32] + x[i + 48]);
  for (uint32_t width = 8; width > 0; width /= 2)
    for (uint32_t i = 0; i < width; ++i)
      parts[i] += parts[i + width];
  return parts[0];
}

float soften(const soften_args& s) {
  auto x = s.scores;
  auto scale = hn::Set(d, s.scale);
  std::fill(x + s.seen, x + num_keys, -std::numeric_limits<float>::infinity());
  auto most = hn::Set(d, *s.max);
  for (uint32_t i = 0; i < num_keys; i += N) {
    auto product = hn::Mul(hn::LoadU(d, x + i), scale);
    hn::StoreU(product, d, x + i);
    most = hn::Max(most, product);
  }
  auto top = hn::GetLane(hn::MaxOfLanes(d, most));
  auto shift = hn::Set(d, top);
  for (uint32_t i = 0; i < num_keys; i += N) {
    auto y = exp(hn::Sub(hn::LoadU(d, x + i), shift));
    hn::StoreU(y, d, x + i);
  }
  auto old = exp(hn::Set(d, *s.max - top));
  auto keep = hn::GetLane(old);
  *s.max = top;
  *s.sum = *s.sum * keep + sum_of(x);
  return keep;
}

void multiply(float* x, uint32_t count, float by) {
  auto factor = hn::Set(d, by);
  map(x, x, count, x, [=](vec a, vec) { return hn::Mul(a, factor); });
}

} // namespace

void fill_attention(kernel_set& set) {
  set.transpose = transpose;
  set.interleave = interleave;
  set.soften = soften;
  set.multiply = multiply;
}

} // namespace troupe::kernels::cpu::HWY_NAMESPACE

HWY_AFTER_NAMESPACE();
