#pragma once

/// A device with everything a test needs to put data there, run operations and
/// read what came out. Outputs begin as NaN, so that what is not written shows.

#include "kernels/cpu_targets.hpp"
#include "kernels/cuda_device.hpp"
#include "kernels/host/floats.hpp"

#ifdef TROUPE_CUDA_ON_HOST
#include "tests/cuda_on_host/device.hpp"
#endif

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

namespace troupe::kernels::test {

/// Deterministic numbers (SplitMix64).
class numbers {
public:
  explicit numbers(uint64_t seed) : state_(seed) {
  }

  uint64_t next() {
    auto z = state_ += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }

  uint32_t below(uint32_t limit) {
    return static_cast<uint32_t>(next() % limit);
  }

  /// Returns about normally distributed numbers of standard deviation 1.
  float normal() {
    double sum = 0;
    for (int i = 0; i < 12; ++i)
      sum += static_cast<double>(next() >> 11) * 0x1p-53;
    return static_cast<float>(sum - 6);
  }

private:
  uint64_t state_;
};

/// A matrix on the host.
struct matrix {
  uint32_t rows = 0;
  uint32_t cols = 0;
  std::vector<float> values; ///< [rows, cols]

  float* row(uint32_t r) {
    return values.data() + size_t{r} * cols;
  }

  const float* row(uint32_t r) const {
    return values.data() + size_t{r} * cols;
  }

  matrix pick(const std::vector<uint32_t>& idx) const {
    matrix out{static_cast<uint32_t>(idx.size()), cols, {}};
    for (auto i : idx)
      out.values.insert(out.values.end(), row(i), row(i) + cols);
    return out;
  }
};

inline matrix random_matrix(uint32_t rows, uint32_t cols, uint64_t seed,
                            float scale = 1) {
  numbers random{seed};
  matrix out{rows, cols, std::vector<float>(size_t{rows} * cols)};
  for (auto& x : out.values)
    x = random.normal() * scale;
  return out;
}

/// A stack of matrices as a checkpoint holds it.
struct raw_weight {
  dtype type;
  uint32_t rows, cols, groups;
  std::vector<std::byte> values;
  std::vector<float> scales; ///< Of each tile; only with f8_e4m3.
};

/// Each tile has a magnitude of its own.
inline raw_weight random_weight(dtype type, uint32_t rows, uint32_t cols,
                                uint32_t groups, uint64_t seed,
                                float scale = 1) {
  numbers random{seed};
  raw_weight out{type, rows, cols, groups, {}, {}};
  auto count = size_t{groups} * rows * cols;
  out.values.resize(count * size_of(type));
  for (size_t i = 0; i < count; ++i) {
    auto x = random.normal() * scale;
    if (type == dtype::f32)
      reinterpret_cast<float*>(out.values.data())[i] = x;
    else if (type == dtype::bf16)
      reinterpret_cast<uint16_t*>(out.values.data())[i] = host::to_bf16(x);
    else
      out.values[i] = std::byte{host::to_e4m3(random.normal() * 100)};
  }
  if (type == dtype::f8_e4m3)
    for (uint32_t i = 0;
         i < groups * num_scale_blocks(rows) * num_scale_blocks(cols); ++i)
      out.scales.push_back(scale * (0.5f + std::fabs(random.normal())) / 100);
  return out;
}

class workbench {
public:
  explicit workbench(std::unique_ptr<device> dev)
    : dev_(std::move(dev)), stream_(dev_->make_stream()) {
  }

  ~workbench() {
    stream_.reset();
    for (auto& mem : claimed_)
      dev_->free(mem);
  }

  device& dev() {
    return *dev_;
  }

  stream& default_stream() {
    return *stream_;
  }

  void run(operation op) {
    stream_->enqueue(std::move(op));
    EXPECT_EQ(synchronize(*stream_).failure, "");
  }

  buffer claim(uint64_t bytes) {
    auto mem = dev_->allocate(bytes);
    EXPECT_TRUE(mem);
    claimed_.push_back(*mem);
    return *mem;
  }

  buffer put_bytes(const void* src, uint64_t bytes) {
    auto mem = claim(bytes);
    run(copy_in{static_cast<const std::byte*>(src), mem, nullptr});
    return mem;
  }

  std::vector<std::byte> get_bytes(const buffer& mem) {
    std::vector<std::byte> out(mem.bytes);
    run(copy_out{mem, out.data(), nullptr});
    return out;
  }

  /// Returns memory that is full of NaN.
  tensor make(dtype type, uint32_t rows, uint32_t cols) {
    std::vector<unsigned char> nans(uint64_t{rows} * cols * size_of(type),
                                    0xff);
    return dense(put_bytes(nans.data(), nans.size()), type, rows, cols);
  }

  activation make_operand(dtype type, uint32_t rows, uint32_t cols) {
    activation out;
    out.values = make(type, rows, cols);
    if (type == dtype::f8_e4m3)
      out.scales = make(dtype::f32, rows, num_scale_blocks(cols));
    return out;
  }

  /// Rounds to f32 or bf16.
  tensor put(const matrix& m, dtype type = dtype::f32) {
    if (type == dtype::f32)
      return dense(put_bytes(m.values.data(), m.values.size() * 4), type,
                   m.rows, m.cols);
    std::vector<uint16_t> rounded;
    for (auto x : m.values)
      rounded.push_back(host::to_bf16(x));
    return dense(put_bytes(rounded.data(), rounded.size() * 2), type, m.rows,
                 m.cols);
  }

  tensor put_ints(const std::vector<int32_t>& m, uint32_t rows) {
    return dense(put_bytes(m.data(), m.size() * 4), dtype::i32, rows,
                 static_cast<uint32_t>(m.size() / std::max(rows, 1u)));
  }

  /// Quantises here, so that every device gets the same operand.
  activation put_operand(const matrix& m, dtype type) {
    if (type != dtype::f8_e4m3)
      return {put(m, type), {}};
    std::vector<uint8_t> codes;
    matrix scales{m.rows, num_scale_blocks(m.cols), {}};
    for (uint32_t r = 0; r < m.rows; ++r)
      for (uint32_t c = 0; c < m.cols; c += scale_block) {
        auto count = std::min(scale_block, m.cols - c);
        scales.values.push_back(host::e4m3_scale(m.row(r) + c, count));
        for (uint32_t i = 0; i < count; ++i)
          codes.push_back(host::to_e4m3(m.row(r)[c + i], scales.values.back()));
      }
    return {dense(put_bytes(codes.data(), codes.size()), type, m.rows, m.cols),
            put(scales)};
  }

  weight put_weight(const raw_weight& raw) {
    auto bytes = dev_->weight_bytes(raw.type, raw.rows, raw.cols, raw.groups);
    weight out{claim(bytes), raw.type, raw.rows, raw.cols, raw.groups};
    run(pack_weight{raw.values.data(),
                    raw.scales.empty() ? nullptr : raw.scales.data(), out,
                    nullptr});
    return out;
  }

  /// Returns the values as FP32, not scaled; rows may be apart.
  matrix get(const tensor& t) {
    matrix out{t.rows, t.cols, {}};
    auto bytes = t.rows > 0 ? get_bytes(t.mem) : std::vector<std::byte>{};
    for (uint32_t r = 0; r < t.rows; ++r)
      for (uint32_t c = 0; c < t.cols; ++c)
        out.values.push_back(value_at(t.type, bytes.data() + r * t.stride, c));
    return out;
  }

  /// Returns what an operand is worth, scales included.
  matrix get(const activation& x) {
    auto out = get(x.values);
    if (x.values.type != dtype::f8_e4m3)
      return out;
    auto scales = get(x.scales);
    for (uint32_t r = 0; r < out.rows; ++r)
      for (uint32_t c = 0; c < out.cols; ++c)
        out.row(r)[c] *= scales.row(r)[c / scale_block];
    return out;
  }

private:
  static float value_at(dtype type, const std::byte* row, uint32_t i) {
    switch (type) {
      case dtype::f32:
        return reinterpret_cast<const float*>(row)[i];
      case dtype::bf16:
        return host::from_bf16(reinterpret_cast<const uint16_t*>(row)[i]);
      case dtype::f8_e4m3:
        return host::from_e4m3(static_cast<uint8_t>(row[i]));
      default:
        return static_cast<float>(reinterpret_cast<const int32_t*>(row)[i]);
    }
  }

  std::unique_ptr<device> dev_;
  std::unique_ptr<stream> stream_;
  std::vector<buffer> claimed_;
};

// -- what runs under a sanitizer ----------------------------------------------

// Sanitizers see how memory is reached and not what comes out, and take ten
// times as long: the smallest shapes of every kind do. ThreadSanitizer looks at
// one device, since what threads share is around the loops; AddressSanitizer at
// the reference, at the widest loops and at those for few registers. The others
// are the same sources once more.

// So do the kernels of CUDA where fibers are their threads.

#if defined(TROUPE_CUDA_ON_HOST)
constexpr bool is_on_fibers = true;
#else
constexpr bool is_on_fibers = false;
#endif

#if defined(TROUPE_CUDA_ON_HOST)
constexpr bool is_sanitized = true;
constexpr bool is_for_threads = false;
#elif defined(__SANITIZE_THREAD__)
constexpr bool is_sanitized = true;
constexpr bool is_for_threads = true;
#elif defined(__SANITIZE_ADDRESS__)
constexpr bool is_sanitized = true;
constexpr bool is_for_threads = false;
#else
constexpr bool is_sanitized = false;
constexpr bool is_for_threads = false;
#endif

/// Returns `all`; under a sanitizer only those of at most two blocks of scales
/// and a tail.
inline std::vector<uint32_t> lengths(std::initializer_list<uint32_t> all) {
  std::vector<uint32_t> out{all};
  if (is_sanitized)
    std::erase_if(out, [](uint32_t x) { return x > 2 * scale_block + 1; });
  return out;
}

/// Returns `all`, or under a sanitizer the first `count` of them.
template <class T>
std::vector<T> first_if_sanitized(size_t count, std::vector<T> all) {
  if (is_sanitized && all.size() > count)
    all.erase(all.begin() + count, all.end());
  return all;
}

// -- devices ------------------------------------------------------------------

/// Names for make_device: every device that this build and machine have, under
/// a sanitizer some of them.
inline std::vector<std::string> device_names() {
#ifdef TROUPE_CUDA_ON_HOST
  return {"cuda-on-host"};
#endif
  // A GPU is one device more, where there is one.
  std::string why;
  auto num_gpus = describe_gpus(why).size();
  std::vector<std::string> targets{"avx512-bf16", "avx512", "avx2", "portable"};
  // Not the one called "best", which a sanitizer's slow loops choose now so and
  // now so: a process that is asked for its tests would name others than it.
  auto most = cpu_targets().front();
  if (is_sanitized)
    targets = {most, "avx2"};
  if (is_for_threads)
    targets = {most};
  std::vector<std::string> out;
  if (!is_for_threads)
    out.push_back("reference");
  for (auto& target : targets) {
    auto name = std::string{make_cpu_device({.target = target})->target()};
    if (name == "cpu/" + target
        && std::find(out.begin(), out.end(), name) == out.end())
      out.push_back(name);
  }
  if (num_gpus > 0)
    out.push_back("cuda");
  return out;
}

inline std::unique_ptr<device> make_device(const std::string& name,
                                           uint32_t num_threads = 1) {
#ifdef TROUPE_CUDA_ON_HOST
  if (name == "cuda-on-host")
    return make_cuda_on_host(3);
#endif
  if (name == "reference")
    return make_reference_device(3);
  if (name == "cuda") {
    std::string why;
    auto out = make_cuda_device({.id = 3}, why);
    EXPECT_TRUE(out) << why;
    return out;
  }
  cpu_options options;
  options.id = 3;
  options.num_threads = num_threads;
  options.target = name.substr(4);
  return make_cpu_device(options);
}

// -- comparisons --------------------------------------------------------------

/// Returns the largest error over a row divided by the row's RMS, the largest
/// of all rows. Infinite if a value is not a number on one side only.
inline double relative_error(const matrix& got, const matrix& want) {
  EXPECT_EQ(got.rows, want.rows);
  EXPECT_EQ(got.cols, want.cols);
  double largest = 0;
  for (uint32_t r = 0; r < want.rows; ++r) {
    double error = 0, squares = 0;
    for (uint32_t c = 0; c < want.cols; ++c) {
      double x = got.row(r)[c], y = want.row(r)[c];
      error = std::max(error, x == y ? 0 : std::fabs(x - y));
      if (std::isnan(x) || std::isnan(y))
        return std::numeric_limits<double>::infinity();
      squares += y * y;
    }
    if (error > 0)
      largest = std::max(largest, error / std::sqrt(squares / want.cols));
  }
  return largest;
}

/// Whether two matrices have the same bits.
inline testing::AssertionResult same_bits(const matrix& a, const matrix& b) {
  if (a.rows != b.rows || a.cols != b.cols)
    return testing::AssertionFailure() << "other shapes";
  for (uint32_t r = 0; r < a.rows; ++r)
    for (uint32_t c = 0; c < a.cols; ++c)
      if (std::bit_cast<uint32_t>(a.row(r)[c])
          != std::bit_cast<uint32_t>(b.row(r)[c]))
        return testing::AssertionFailure()
               << "[" << r << ", " << c << "]: " << a.row(r)[c] << " and "
               << b.row(r)[c];
  return testing::AssertionSuccess();
}

} // namespace troupe::kernels::test
