#pragma once

/// What a kernel does, as far as its time depends on it, and how fast a device
/// does it.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace troupe {

/// What a kernel belongs to where times are compared by that.
enum class kernel_family : uint8_t {
  core_attention,
  experts,  ///< Products of routed experts.
  products, ///< All others.
  other,    ///< What computes next to nothing: norms, copies, choices.
};

constexpr size_t num_kernel_families = size_t(kernel_family::other) + 1;

struct kernel_work {
  kernel_family family = kernel_family::other;
  double flops = 0;       ///< Multiply and add as two.
  double bytes = 0;       ///< Each that is read or written, once.
  bool is_narrow = false; ///< Products of 8-bit numbers.
  double copied = 0;      ///< Bytes between the device and its host.
};

using kernel_list = std::vector<kernel_work>;

struct device_rates {
  double narrow_flops = 1e15; ///< Of products of 8-bit numbers, per second.
  double wide_flops = 5e14;   ///< Of all other products.
  double attention_flops = 5e14;
  double bytes_per_second = 3e12;
  double copied_per_second = 50e9; ///< Bytes between it and its host.
  double per_kernel = 0;           ///< Seconds that each takes besides.

  /// Whatever is computed takes as long.
  void set_flops(double per_second) {
    narrow_flops = wide_flops = attention_flops = per_second;
  }
};

/// Products take the time to read and write and that to compute, one after the
/// other: their tables are nearer to that than to the longer of both. Core
/// attention is bound by either, as its tables say.
inline double seconds(const kernel_work& x, const device_rates& of) {
  auto moving = x.bytes / of.bytes_per_second + x.copied / of.copied_per_second;
  if (x.family == kernel_family::core_attention)
    return of.per_kernel + std::max(moving, x.flops / of.attention_flops);
  auto rate = x.is_narrow ? of.narrow_flops : of.wide_flops;
  return of.per_kernel + moving + x.flops / rate;
}

/// Sum of what `all` compute.
inline double flops_of(const kernel_list& all) {
  double sum = 0;
  for (auto& x : all)
    sum += x.flops;
  return sum;
}

} // namespace troupe
