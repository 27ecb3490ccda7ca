#include "runtime/bench/chance.hpp"

#include "runtime/philox.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace troupe::bench {

namespace {

constexpr uint32_t mark = 0x6c6f6164; ///< Parts these from other numbers.

} // namespace

chance::chance(uint64_t seed, uint32_t purpose)
  : seed_(seed), purpose_(purpose) {
}

double chance::uniform() {
  auto n = next_++;
  auto bits = philox4x32({uint32_t(n), uint32_t(n >> 32), purpose_, mark},
                         {uint32_t(seed_), uint32_t(seed_ >> 32)});
  auto x = (uint64_t{bits[0]} << 20) | (bits[1] >> 12);
  return (double(x) + 0.5) * 0x1p-52;
}

uint64_t chance::whole(uint64_t least, uint64_t most) {
  auto n = uint64_t(uniform() * double(most - least + 1));
  return least + std::min(n, most - least);
}

double chance::normal() {
  auto r = std::sqrt(-2 * std::log(uniform()));
  return r * std::cos(2 * std::numbers::pi * uniform());
}

// [Marsaglia and Tsang, "A simple method for generating gamma variables", 2000]
double chance::gamma(double shape) {
  if (shape == 1)
    return -std::log(uniform());
  auto boost = shape < 1 ? std::pow(uniform(), 1 / shape) : 1.0;
  auto d = (shape < 1 ? shape + 1 : shape) - 1.0 / 3;
  auto c = 1 / std::sqrt(9 * d);
  for (;;) {
    auto x = normal();
    auto v = std::pow(1 + c * x, 3);
    if (v > 0 && std::log(uniform()) < x * x / 2 + d - d * v + d * std::log(v))
      return boost * d * v / shape;
  }
}

} // namespace troupe::bench
