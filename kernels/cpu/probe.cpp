#include "kernels/cpu/probe.hpp"

#include "kernels/check.hpp"
#include "kernels/cpu/ceilings.hpp"
#include "kernels/host/host_memory.hpp"

#include <algorithm>
#include <cstring>

namespace troupe::kernels {

namespace {

/// Several times what the last cache of a large server holds.
constexpr uint64_t most_of_a_thread = 768 << 20;
constexpr uint64_t most_of_all = uint64_t{4} << 30;
constexpr uint64_t granule = 4096; ///< read_all takes multiples of 512.
constexpr uint64_t spin_rounds = 1 << 19;

} // namespace

machine_probe::machine_probe(thread_pool& pool, seconds_fn seconds)
  : pool_(pool), seconds_(std::move(seconds)) {
  auto share = most_of_all / pool.num_threads() / granule * granule;
  part_ = std::min(most_of_a_thread, share);
  while (!(memory_ = host::allocate_host(part_ * pool.num_threads()))) {
    part_ = part_ / 2 / granule * granule;
    CHECK(part_ > 0);
  }
  std::memset(memory_->data(), 1, memory_->size());
}

template <class Fn>
double machine_probe::best_rate(uint32_t tries, const Fn& work) const {
  double best = 0;
  for (uint32_t i = 0; i < tries; ++i) {
    auto start = seconds_();
    auto amount = static_cast<double>(work());
    best = std::max(best, amount / (seconds_() - start));
  }
  return best;
}

double machine_probe::read_bytes(uint32_t tries) const {
  return best_rate(tries, [&] {
    pool_.parallel_for(pool_.num_threads(), [&](uint32_t i) {
      cpu::read_all(memory_->data() + i * part_, part_);
    });
    return memory_->size();
  });
}

machine_rates machine_probe::measure(uint32_t tries) const {
  auto num_threads = pool_.num_threads();
  auto spin = [&](uint64_t (*fn)(uint64_t)) {
    auto flops = fn(1);
    if (flops == 0)
      return 0.0;
    return best_rate(tries, [&] {
      pool_.parallel_for(num_threads, [&](uint32_t) { fn(spin_rounds); });
      return flops * spin_rounds * num_threads;
    });
  };
  machine_rates out;
  out.read_bytes = read_bytes(tries);
  out.fma_flops = spin(cpu::spin_fma);
  out.dot_flops = spin(cpu::spin_dot);
  return out;
}

} // namespace troupe::kernels
