#pragma once

/// What something takes, as a sum of parts that are never negative, learnt from
/// cases as they come: least squares of relative errors, in which what is old
/// counts less and less. A case costs a few multiplications; parts are found
/// when they are asked for. A plain class; the same cases give the same parts.

#include <array>
#include <cstddef>

namespace troupe {

class running_fit {
public:
  static constexpr size_t max_parts = 4;

  /// How much of each part a case has; its first one is usually 1.
  using amounts = std::array<double, max_parts>;

  /// What one of each part takes.
  using prices = std::array<double, max_parts>;

  /// `kept`: of the weight of older cases, with each that comes; at most 1.
  explicit running_fit(double kept = 0.99) : kept_(kept) {
  }

  /// A case has taken `y`. Passed over if that is not above 0, or if an amount
  /// is below 0 or no number.
  void add(const amounts& x, double y);

  /// A part of which no case had any, and one that others explain as well, is
  /// 0; of parts that explain the same the last is taken.
  const prices& per_part() const;

  /// Never negative and always a number, if `x` is; 0 if nothing was seen.
  double predict(const amounts& x) const;

  /// Cases, the older the less.
  double weight() const {
    return weight_;
  }

private:
  using matrix = std::array<amounts, max_parts>;

  void solve() const;
  bool solve(unsigned parts, prices& out) const;
  double error(const prices& x) const;

  double kept_;
  double weight_ = 0;
  matrix xx_ = {};             ///< Weighted sums of x x' / y y.
  amounts xy_ = {};            ///< Of x / y.
  mutable prices prices_ = {}; ///< If they are not stale.
  mutable bool is_stale_ = false;
};

} // namespace troupe
