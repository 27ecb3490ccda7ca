#include "runtime/tracing/interval_set.hpp"

#include <algorithm>

namespace troupe {

interval_set::interval_set(std::vector<interval> all) {
  std::ranges::sort(all, {}, &interval::begin);
  for (auto& x : all)
    if (x.end <= x.begin)
      continue;
    else if (!all_.empty() && x.begin <= all_.back().end)
      all_.back().end = std::max(all_.back().end, x.end);
    else
      all_.push_back(x);
}

interval_set interval_set::united(const interval_set& other) const {
  auto all = all_;
  all.insert(all.end(), other.all_.begin(), other.all_.end());
  return interval_set{std::move(all)};
}

interval_set interval_set::intersected(const interval_set& other) const {
  interval_set out;
  for (size_t i = 0, k = 0; i < all_.size() && k < other.all_.size();) {
    auto& a = all_[i];
    auto& b = other.all_[k];
    interval both{std::max(a.begin, b.begin), std::min(a.end, b.end)};
    if (both.begin < both.end)
      out.all_.push_back(both);
    a.end < b.end ? ++i : ++k;
  }
  return out;
}

interval_set::duration interval_set::length() const {
  duration out{0};
  for (auto& x : all_)
    out += x.end - x.begin;
  return out;
}

} // namespace troupe
