#pragma once

/// Chance for a virtual world: the same numbers from the same seed on every
/// machine, which the distributions of the standard library do not promise.

#include "runtime/clock.hpp"

#include "kernels/check.hpp"

#include <cstdint>

namespace troupe {

/// SplitMix64. [Steele, Lea, Flood, "Fast splittable pseudorandom number
/// generators", OOPSLA'14]
class random_stream {
public:
  explicit random_stream(uint64_t seed) : state_(seed) {
  }

  /// Spreads every bit of `x` over all of the result; its inverse exists.
  static constexpr uint64_t mix(uint64_t x) {
    x += 0x9e3779b97f4a7c15;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    x = (x ^ x >> 27) * 0x94d049bb133111eb;
    return x ^ x >> 31;
  }

  /// Uniform over all 64-bit numbers.
  uint64_t next() {
    auto out = mix(state_);
    state_ += 0x9e3779b97f4a7c15;
    return out;
  }

  /// Uniform in [0, n), but for less than n / 2^64.
  uint64_t uniform(uint64_t n) {
    CHECK(n > 0);
    return next() % n;
  }

  /// Uniform in [0, 1).
  double unit() {
    return double(next() >> 11) * 0x1p-53;
  }

  /// True with probability `p`. No number is drawn where there is no choice.
  bool chance(double p) {
    return p > 0 && (p >= 1 || unit() < p);
  }

  /// Of mean `mean`, memoryless. By comparisons alone: libraries differ in the
  /// last bit of a logarithm. [von Neumann 1951; Knuth, TAOCP 2, 3.4.1]
  clock::instant::duration exponential(clock::instant::duration mean) {
    if (mean.count() <= 0)
      return {};
    for (uint64_t whole = 0;; ++whole) {
      auto first = unit();
      if (has_odd_descent(first))
        return clock::instant::duration{
          int64_t(double(mean.count()) * (double(whole) + first))};
    }
  }

private:
  /// Whether the longest run first > u1 > u2 > ... has an odd length.
  bool has_odd_descent(double first) {
    bool odd = true;
    for (auto last = first;; odd = !odd) {
      auto x = unit();
      if (x >= last)
        return odd;
      last = x;
    }
  }

  uint64_t state_;
};

} // namespace troupe
