#include "runtime/bench/exchange.hpp"

#include "kernels/check.hpp"

namespace troupe::bench {

exchange_progress::exchange_progress(const exchange_shape& shape)
  : shape_(shape), missing_(shape.window, 0) {
  CHECK(shape.num_peers > 0 && shape.window > 0 && shape.num_rounds > 0);
}

std::optional<uint32_t> exchange_progress::next() {
  if (num_begun_ == shape_.num_rounds
      || num_begun_ - num_ended_ == shape_.window)
    return std::nullopt;
  missing(num_begun_) = shape_.num_peers;
  return num_begun_++;
}

bool exchange_progress::answered(uint32_t round) {
  if (round < num_ended_ || round >= num_begun_ || missing(round) == 0)
    return false;
  --missing(round);
  while (num_ended_ < num_begun_ && missing(num_ended_) == 0)
    ++num_ended_;
  return true;
}

} // namespace troupe::bench
