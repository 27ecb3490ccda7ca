#include "runtime/cost/running_fit.hpp"

#include <bit>
#include <cmath>
#include <utility>

namespace troupe {

namespace {

constexpr size_t n = running_fit::max_parts;

/// Parts whose cases are that near to a mix of others' say nothing new.
constexpr double least_pivot = 1e-9;

/// A set of parts has to explain so much more than one with fewer, or later
/// ones: of the sum of squares.
constexpr double clearly_better = 1e-6;

} // namespace

void running_fit::add(const amounts& x, double y) {
  if (!(y > 0) || !std::isfinite(y))
    return;
  for (auto part : x)
    if (!(part >= 0) || !std::isfinite(part))
      return;
  weight_ = kept_ * weight_ + 1;
  for (size_t i = 0; i < n; ++i) {
    xy_[i] = kept_ * xy_[i] + x[i] / y;
    for (size_t k = 0; k < n; ++k)
      xx_[i][k] = kept_ * xx_[i][k] + x[i] / y * (x[k] / y);
  }
  is_stale_ = true;
}

const running_fit::prices& running_fit::per_part() const {
  if (std::exchange(is_stale_, false))
    solve();
  return prices_;
}

double running_fit::predict(const amounts& x) const {
  auto& all = per_part();
  double out = 0;
  for (size_t i = 0; i < n; ++i)
    out += all[i] * x[i];
  return out;
}

/// Weighted sum of squares of relative errors.
double running_fit::error(const prices& x) const {
  auto out = weight_;
  for (size_t i = 0; i < n; ++i) {
    out -= 2 * x[i] * xy_[i];
    for (size_t k = 0; k < n; ++k)
      out += x[i] * x[k] * xx_[i][k];
  }
  return out;
}

/// The best of all sets of parts whose prices are positive: there are few.
void running_fit::solve() const {
  auto best = weight_; // of no parts
  prices found = {};
  for (unsigned size = 1; size <= n; ++size)
    for (unsigned parts = (1u << n) - 1; parts > 0; --parts) {
      prices x = {};
      if (unsigned(std::popcount(parts)) != size || !solve(parts, x))
        continue;
      if (auto e = error(x); e < best - clearly_better * weight_) {
        best = e;
        found = x;
      }
    }
  prices_ = found;
}

/// Of those `parts` alone, scaled so that each counts alike. False if they are
/// not told apart, or one is not positive.
bool running_fit::solve(unsigned parts, prices& out) const {
  std::array<size_t, n> of = {};
  size_t size = 0;
  for (size_t i = 0; i < n; ++i)
    if ((parts >> i & 1) != 0)
      of[size++] = i;
  matrix a = {};
  amounts b = {}, scale = {};
  for (size_t i = 0; i < size; ++i) {
    if (!(xx_[of[i]][of[i]] > 0))
      return false;
    scale[i] = 1 / std::sqrt(xx_[of[i]][of[i]]);
    b[i] = xy_[of[i]] * scale[i];
  }
  for (size_t i = 0; i < size; ++i)
    for (size_t k = 0; k < size; ++k)
      a[i][k] = xx_[of[i]][of[k]] * scale[i] * scale[k];
  for (size_t i = 0; i < size; ++i) {
    if (!(a[i][i] > least_pivot))
      return false;
    for (size_t r = i + 1; r < size; ++r) {
      auto factor = a[r][i] / a[i][i];
      for (size_t k = i; k < size; ++k)
        a[r][k] -= factor * a[i][k];
      b[r] -= factor * b[i];
    }
  }
  for (size_t i = size; i-- > 0;) {
    auto sum = b[i];
    for (size_t k = i + 1; k < size; ++k)
      sum -= a[i][k] * out[of[k]] / scale[k];
    auto x = sum / a[i][i] * scale[i];
    if (!(x > 0) || !std::isfinite(x))
      return false;
    out[of[i]] = x;
  }
  return true;
}

} // namespace troupe
