#include "runtime/cost/exchange_times.hpp"

#include "kernels/check.hpp"

#include <cmath>

namespace troupe {

namespace {

template <class Point>
double value_of(const Point& x, exchange_kind what) {
  return what == exchange_kind::dispatch ? x.dispatch : x.combine;
}

/// Between two points by the logarithm of ranks, beyond them as at the last.
template <class Point>
double at(const std::vector<Point>& all, exchange_kind what, uint32_t ranks) {
  CHECK(!all.empty());
  if (ranks <= all.front().ranks)
    return value_of(all.front(), what);
  for (size_t i = 1; i < all.size(); ++i) {
    auto& low = all[i - 1];
    auto& high = all[i];
    if (ranks > high.ranks)
      continue;
    auto part = std::log2(double(ranks) / low.ranks)
                / std::log2(double(high.ranks) / low.ranks);
    return value_of(low, what)
           + part * (value_of(high, what) - value_of(low, what));
  }
  return value_of(all.back(), what);
}

} // namespace

double low_latency_exchange::seconds(exchange_kind what, uint32_t ranks,
                                     double num_rows) const {
  return fixed + num_rows * (at(measured, what, ranks) - fixed) / rows;
}

double normal_exchange::seconds(exchange_kind what, uint32_t ranks,
                                double bytes) const {
  auto slowdown = what == exchange_kind::dispatch ? dispatch_slowdown
                                                  : combine_slowdown;
  return barrier + slowdown * bytes / at(measured, what, ranks);
}

} // namespace troupe
