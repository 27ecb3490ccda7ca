#pragma once

/// Random numbers of a load: the same for the same seed and purpose on every
/// machine, whatever else is drawn.

#include <cstdint>

namespace troupe::bench {

class chance {
public:
  /// `purpose` parts streams of one seed.
  chance(uint64_t seed, uint32_t purpose);

  /// In (0, 1).
  double uniform();

  /// In [least, most].
  uint64_t whole(uint64_t least, uint64_t most);

  /// Mean 0, deviation 1.
  double normal();

  /// Mean 1. shape > 0; 1: exponential.
  double gamma(double shape);

private:
  const uint64_t seed_;
  const uint32_t purpose_;
  uint64_t next_ = 0;
};

} // namespace troupe::bench
