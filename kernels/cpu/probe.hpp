#pragma once

/// What the machine gives at best to as many threads as a device would have:
/// bytes read from memory, FP32 and BF16 arithmetic in registers. What a
/// virtual machine gives changes from minute to minute, so probe right beside
/// what is measured.

#include "kernels/device.hpp"
#include "kernels/host/thread_pool.hpp"

#include <functional>

namespace troupe::kernels {

/// Per second, all threads together; 0: not known for this kind of CPU.
struct machine_rates {
  double read_bytes = 0;
  double fma_flops = 0; ///< FP32.
  double dot_flops = 0; ///< BF16 dot products; 0: the CPU has none.
};

class machine_probe {
public:
  /// Returns seconds since some moment.
  using seconds_fn = std::function<double()>;

  /// Runs on `pool`, which outlives this, on all of its threads, and claims
  /// 768 MiB for each, 4 GiB in all at most, so that no cache holds them.
  machine_probe(thread_pool& pool, seconds_fn seconds);

  /// The best of `tries` of each.
  machine_rates measure(uint32_t tries) const;

  /// Only the bytes: what drifts.
  double read_bytes(uint32_t tries) const;

private:
  template <class Fn>
  double best_rate(uint32_t tries, const Fn& work) const;

  thread_pool& pool_;
  seconds_fn seconds_;
  uint64_t part_; ///< Bytes of a thread.
  host_ptr memory_;
};

} // namespace troupe::kernels
