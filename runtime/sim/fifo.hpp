#pragma once

/// A queue that takes memory only once it is used, and then keeps it: a virtual
/// world has many, and most are short.

#include <cstddef>
#include <utility>
#include <vector>

namespace troupe {

template <class T>
class fifo {
public:
  bool empty() const {
    return first_ == all_.size();
  }

  size_t size() const {
    return all_.size() - first_;
  }

  /// Stays where it is until push() or pop().
  T& front() {
    return all_[first_];
  }

  const T& front() const {
    return all_[first_];
  }

  void push(T x) {
    all_.push_back(std::move(x));
  }

  T pop() {
    auto out = std::move(all_[first_++]);
    if (first_ == all_.size() || first_ > 64 + all_.size() / 2) {
      all_.erase(all_.begin(), all_.begin() + ptrdiff_t(first_));
      first_ = 0;
    }
    return out;
  }

  void clear() {
    all_.clear();
    first_ = 0;
  }

private:
  std::vector<T> all_;
  size_t first_ = 0;
};

} // namespace troupe
