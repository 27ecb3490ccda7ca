#include "runtime/sim/node_time.hpp"

namespace troupe {

namespace {

constexpr int64_t million = 1'000'000;

/// x * by / per, rounded towards zero. Neither product may leave 63 bits: rates
/// are below 2^21.
int64_t scale(int64_t x, int64_t by, int64_t per) {
  return x / per * by + x % per * by / per;
}

} // namespace

clock::instant node_time::now() const {
  return base_
         + virtual_duration{scale((world_ - since_).count(), rate_, million)};
}

void node_time::set_drift(int64_t parts) {
  CHECK(parts >= -most_drift && parts <= most_drift);
  base_ = now();
  since_ = world_;
  rate_ = million + parts;
}

void node_time::advance(virtual_duration by) {
  CHECK(by.count() >= 0);
  base_ += by;
}

virtual_instant node_time::to_world(instant local) const {
  if (local <= now())
    return world_;
  // A far future, such as instant::max(), is as good as never.
  constexpr virtual_duration longest = std::chrono::hours{24 * 365 * 10};
  if (local - now() > longest)
    return world_ + 3 * longest;
  auto span = (local - base_).count();
  auto out = since_ + virtual_duration{scale(span, million, rate_)};
  return scale((out - since_).count(), rate_, million) < span
           ? out + virtual_duration{1 + million / rate_}
           : out;
}

} // namespace troupe
