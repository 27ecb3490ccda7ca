#include "kernels/cpu/dot_choice.hpp"

#include "kernels/cpu/ceilings.hpp"
#include "kernels/cpu/fill.hpp"
#include "kernels/host/pair_dot.hpp"

#include <algorithm>
#include <array>
#include <bit>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

namespace troupe::kernels::cpu {

namespace {

constexpr uint32_t num_bursts = 25;

/// Some ten microseconds, so that most bursts see no interrupt.
constexpr uint64_t burst_rounds = 1500;

uint64_t ticks() {
#if defined(__x86_64__)
  return __rdtsc();
#else
  return 0;
#endif
}

/// What `rounds` of `spin` take for as many FLOPs as one round of the other.
uint64_t time_of(uint64_t (*spin)(uint64_t), uint64_t rounds) {
  auto start = ticks();
  spin(rounds);
  return ticks() - start;
}

bool measure() {
  auto fma = spin_fma(1);
  auto dot = spin_dot(1);
  if (fma == 0 || dot == 0)
    return false;
  std::array<uint64_t, num_bursts> fma_times, dot_times;
  for (uint32_t i = 0; i < num_bursts; ++i) {
    fma_times[i] = time_of(spin_fma, burst_rounds * dot / fma);
    dot_times[i] = time_of(spin_dot, burst_rounds);
  }
  return dot_gain({fma_times, dot_times}) >= enough_gain;
}

/// A word of two BF16 numbers: of ordinary size, tiny, or any bits but those of
/// infinity and NaN.
uint32_t pair_of(uint64_t bits, uint32_t kind) {
  constexpr uint32_t signs = 0x80008000;
  auto any = uint32_t(bits);
  auto near = (any & 0x07ff07ff) | 0x3c003c00; // 2^-7 to 2^8
  auto tiny = (any & 0x03ff03ff) | 0x1e001e00; // products about 2^-126
  auto most = any & ~(signs | 0x40004000);
  uint32_t kinds[] = {near, tiny, most, any & 0x007f007f};
  return kinds[kind] | (any & signs);
}

bool compare() {
  if (!has_dot())
    return false;
  constexpr uint32_t lanes = 16;
  uint64_t state = 1;
  auto next = [&state] {
    state = state * 6364136223846793005 + 1442695040888963407;
    return state >> 29;
  };
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t a[lanes], b[lanes];
    float sums[lanes], want[lanes];
    for (uint32_t j = 0; j < lanes; ++j) {
      a[j] = pair_of(next(), i % 4);
      b[j] = pair_of(next(), i / 4 % 4);
      // As large as a product, so that the order of adding is seen.
      want[j] = host::from_bf16(uint16_t(a[j]))
                * host::from_bf16(uint16_t(b[j]));
      want[j] *= 1 + float(next() % 0x10000) * 0x1p-16f;
      sums[j] = want[j];
      want[j] = host::add_pair(want[j], a[j], b[j]);
    }
    add_pairs(a, b, sums);
    for (uint32_t j = 0; j < lanes; ++j)
      if (std::bit_cast<uint32_t>(sums[j]) != std::bit_cast<uint32_t>(want[j]))
        return false;
  }
  return true;
}

} // namespace

bool has_defined_dot() {
  static const bool has = compare();
  return has;
}

bool has_fast_dot() {
  static const bool is = measure();
  return is;
}

double dot_gain(const burst_times& times) {
  auto least = [](std::span<const uint64_t> all) {
    return double(std::max<uint64_t>(1, *std::ranges::min_element(all)));
  };
  return least(times.fma) / least(times.dot);
}

} // namespace troupe::kernels::cpu
