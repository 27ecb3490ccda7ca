#pragma once

/// Whether spinning pays. A thread that waits may spin for a while, yielding,
/// if the cores are free; where others compute, every yield costs a slice of
/// theirs, while a thread that sleeps is woken at once. So whoever saw a slow
/// yield does not spin for the next waits. Thread-safe; reads the clock.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>

namespace troupe::kernels {

class crowd {
public:
  /// Returns whether this wait should go without spinning.
  bool is_dense() {
    auto n = skip_.load(std::memory_order_relaxed);
    if (n == 0)
      return false;
    skip_.store(n - 1, std::memory_order_relaxed);
    return true;
  }

  /// Gives the core to others and notes how long that took.
  void yield() {
    auto start = std::chrono::steady_clock::now();
    std::this_thread::yield();
    if (std::chrono::steady_clock::now() - start > slow_yield)
      skip_.store(waits_to_skip, std::memory_order_relaxed);
  }

private:
  static constexpr std::chrono::microseconds slow_yield{300};
  static constexpr uint32_t waits_to_skip = 256;

  std::atomic<uint32_t> skip_ = 0;
};

} // namespace troupe::kernels
