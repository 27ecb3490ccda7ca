#pragma once

/// Times at which something is so: disjoint intervals, ascending.

#include "runtime/clock.hpp"

#include <vector>

namespace troupe {

class interval_set {
public:
  using duration = clock::instant::duration;

  struct interval {
    clock::instant begin;
    clock::instant end;

    friend bool operator==(const interval&, const interval&) = default;
  };

  interval_set() = default;

  /// The union of `all`, which may overlap and have any order.
  explicit interval_set(std::vector<interval> all);

  interval_set united(const interval_set& other) const;
  interval_set intersected(const interval_set& other) const;

  /// Of all of them together.
  duration length() const;

  const std::vector<interval>& all() const {
    return all_;
  }

private:
  std::vector<interval> all_;
};

} // namespace troupe
