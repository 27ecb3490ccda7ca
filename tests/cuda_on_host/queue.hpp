#pragma once

/// What operations of kernels/cuda/ are enqueued on, computed at once by
/// threads that are fibers.

#include "tests/cuda_on_host/grid.hpp"

#include "kernels/cuda/attention_operations.hpp"
#include "kernels/cuda/sample_operations.hpp"

#include <list>

namespace troupe::kernels::on_host {

class queue {
public:
  /// The first fault; empty: none.
  const std::string& fault() const {
    return fault_;
  }

  void fail(const std::string& why) {
    if (fault_.empty())
      fault_ = why;
  }

  template <class T>
  cuda::list<T> bring(const std::vector<T>& from) {
    auto mem = scratch(from.size() * sizeof(T));
    if (!from.empty())
      std::memcpy(reinterpret_cast<void*>(mem), from.data(),
                  from.size() * sizeof(T));
    return {reinterpret_cast<const T*>(mem), from.size()};
  }

  /// Full of NaN.
  uint64_t scratch(uint64_t bytes) {
    auto& mem = scratch_.emplace_back(bytes / 64 + 2);
    std::memset(mem.data(), 0xff, mem.size() * sizeof(line));
    return reinterpret_cast<uint64_t>(mem.data());
  }

  size_t num_scratch() const {
    return scratch_.size();
  }

  void give_back(size_t count) {
    scratch_.resize(count);
  }

  template <class Kernel>
  void launch(const Kernel& kernel, cuda::blocks_of_launch blocks,
              uint32_t shared_bytes = 0) {
    if constexpr (requires { Kernel::shared_bytes; })
      shared_bytes = Kernel::shared_bytes;
    if (!fault_.empty() || !blocks.exist())
      return;
    auto fault = machine::here().launch(
      {blocks.x, blocks.y, blocks.z, Kernel::num_threads, shared_bytes},
      [&kernel] { kernel.run(); });
    if (!fault.empty())
      fail(std::string{Kernel::name} + ": " + fault);
  }

  void copy_in(uint64_t dst, const std::byte* src, uint64_t bytes) {
    if (bytes > 0)
      std::memcpy(reinterpret_cast<void*>(dst), src, bytes);
  }

  void copy_out(std::byte* dst, uint64_t src, uint64_t bytes) {
    if (bytes > 0)
      std::memcpy(dst, reinterpret_cast<const void*>(src), bytes);
  }

  void copy_rows_in(uint64_t dst, uint64_t dst_stride, const std::byte* src,
                    uint64_t row_bytes, uint32_t count) {
    for (uint64_t i = 0; i < count; ++i)
      copy_in(dst + i * dst_stride, src + i * row_bytes, row_bytes);
  }

private:
  struct alignas(64) line {
    std::byte bytes[64];
  };

  std::list<std::vector<line>> scratch_;
  std::string fault_;
};

} // namespace troupe::kernels::on_host
