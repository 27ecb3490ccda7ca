#include "runtime/pipeline/shared_time.hpp"

#include "kernels/check.hpp"

#include <bit>

namespace troupe {

void shared_time::began(uint8_t lane, clock::instant now) {
  CHECK(lane < max_lanes && (out_ >> lane & 1) == 0);
  pass(now);
  out_ |= static_cast<uint8_t>(1u << lane);
  shares_[lane] = {};
}

shared_time::duration shared_time::ended(uint8_t lane, clock::instant now) {
  CHECK(lane < max_lanes && (out_ >> lane & 1) != 0);
  pass(now);
  out_ &= static_cast<uint8_t>(~(1u << lane));
  return shares_[lane];
}

void shared_time::pass(clock::instant now) {
  auto time = now - last_;
  last_ = now;
  if (out_ == 0)
    return;
  for (uint8_t i = 0; i < max_lanes; ++i)
    if ((out_ >> i & 1) != 0)
      shares_[i] += time / std::popcount(out_);
}

} // namespace troupe
