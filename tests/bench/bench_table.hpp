#pragma once

/// What a bench of operations runs on, and what it prints: times beside what
/// the machine gives at best. Rates are those of the tenth percentile.

#include "kernels/cpu/probe.hpp"
#include "kernels/device.hpp"
#include "kernels/host/host_memory.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <functional>
#include <string>
#include <vector>

namespace troupe::kernels {

/// CPU time over threads, for a machine that others use.
inline bool by_cpu_time = false;

inline double seconds(double num_threads = 1) {
  if (by_cpu_time)
    return double(std::clock()) / CLOCKS_PER_SEC / num_threads;
  auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double>(now).count();
}

/// Data on a device, made of a cheap sequence of small numbers.
class bench {
public:
  explicit bench(const cpu_options& options)
    : dev_(make_cpu_device(options)), stream_(dev_->make_stream()) {
  }

  device& dev() {
    return *dev_;
  }

  stream& work() {
    return *stream_;
  }

  float next() {
    state_ = state_ * 6364136223846793005 + 1442695040888963407;
    return float(int32_t(state_ >> 33) - (1 << 30)) * 0x1p-30f;
  }

  buffer claim(uint64_t bytes) {
    return *dev_->allocate(bytes);
  }

  tensor make(dtype type, uint32_t rows, uint32_t cols) {
    return dense(claim(uint64_t{rows} * cols * size_of(type)), type, rows,
                 cols);
  }

  tensor numbers(uint32_t rows, uint32_t cols) {
    auto out = make(dtype::f32, rows, cols);
    auto values = host::row<float>(out, 0);
    for (uint64_t i = 0; i < uint64_t{rows} * cols; ++i)
      values[i] = next();
    return out;
  }

  activation operand(dtype type, uint32_t rows, uint32_t cols) {
    activation out{make(type, rows, cols), {}};
    if (type == dtype::f8_e4m3)
      out.scales = make(dtype::f32, rows, num_scale_blocks(cols));
    return out;
  }

  activation operand_of(dtype type, const tensor& x) {
    auto out = operand(type, x.rows, x.cols);
    stream_->enqueue(quantize{x, out});
    synchronize(*stream_);
    return out;
  }

  weight make_weight(dtype type, uint32_t rows, uint32_t cols,
                     uint32_t groups = 1) {
    auto count = uint64_t{groups} * rows * cols;
    std::vector<std::byte> raw(count * size_of(type));
    for (auto& b : raw) // exponents in the middle, whatever the type
      b = std::byte(0x30 + (std::bit_cast<uint32_t>(next()) >> 8) % 16);
    std::vector<float> scales(
      groups * num_scale_blocks(rows) * num_scale_blocks(cols), 0.01f);
    auto bytes = dev_->weight_bytes(type, rows, cols, groups);
    weight out{claim(bytes), type, rows, cols, groups};
    auto is_scaled = type == dtype::f8_e4m3;
    stream_->enqueue(pack_weight{
      raw.data(), is_scaled ? scales.data() : nullptr, out, nullptr});
    synchronize(*stream_);
    return out;
  }

private:
  std::unique_ptr<device> dev_;
  std::unique_ptr<stream> stream_;
  uint64_t state_ = 42;
};

/// What to time: a number of operations that are used in turn, so that weights
/// come from memory and not from a cache.
struct job {
  std::string name;
  uint32_t rows;
  std::vector<operation> operations;
  bool dot; ///< Of bf16, so that dot products are the limit if it has them.
};

class table {
public:
  table(bench& b, const machine_rates& limits, uint32_t num_threads,
        std::string only)
    : bench_(b), limits_(limits), num_threads_(num_threads),
      only_(std::move(only)) {
    std::printf("%-26s %5s %10s %10s %8s %9s %6s %6s\n", "operation", "rows",
                "us, 10th", "median", "GB/s", "GFLOP/s", "% mem", "% alu");
  }

  bool wants(std::string_view name) const {
    return only_.empty() || name.find(only_) != name.npos;
  }

  void add(const job& j) {
    auto times = measure(j);
    auto time = times[times.size() / 10];
    auto c = cost_of(j.operations[0]);
    auto has_dot = bench_.dev().target().ends_with("bf16");
    auto peak = j.dot && has_dot ? limits_.dot_flops : limits_.fma_flops;
    auto bytes = double(c.bytes) / time;
    auto flops = double(c.flops) / time;
    std::printf("%-26s %5u %10.1f %10.1f %8.1f %9.1f %6.0f %6.0f\n",
                j.name.c_str(), j.rows, time * 1e6,
                times[times.size() / 2] * 1e6, bytes * 1e-9, flops * 1e-9,
                100 * bytes / limits_.read_bytes, 100 * flops / peak);
    std::fflush(stdout);
  }

private:
  double run(const job& j, uint32_t count) {
    auto start = seconds(num_threads_);
    for (uint32_t i = 0; i < count; ++i)
      bench_.work().enqueue(j.operations[turn_++ % j.operations.size()]);
    synchronize(bench_.work());
    return (seconds(num_threads_) - start) / count;
  }

  /// The times of some hundred runs of a few milliseconds, ascending; fewer of
  /// what takes long. Their tenth percentile repeats where others use the
  /// machine.
  std::vector<double> measure(const job& j) {
    auto once = run(j, uint32_t(j.operations.size()));
    auto count = uint32_t(std::clamp(0.004 / once, 1.0, 20000.0));
    auto runs = std::clamp(0.5 / (once * count), 11.0, 300.0);
    std::vector<double> times;
    for (int i = 0; i < int(runs); ++i)
      times.push_back(run(j, count));
    std::sort(times.begin(), times.end());
    return times;
  }

  bench& bench_;
  machine_rates limits_;
  uint32_t num_threads_;
  std::string only_;
  size_t turn_ = 0;
};

} // namespace troupe::kernels
