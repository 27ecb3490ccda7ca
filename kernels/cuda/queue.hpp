#pragma once

/// What operations enqueue their copies and kernels on: one stream of a GPU.
/// The first error is kept and ends the operation; nothing blocks.

#include "kernels/cuda/gpu.hpp"
#include "kernels/cuda/row_operations.hpp"

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

namespace troupe::kernels::cuda {

template <class Kernel>
__global__ void __launch_bounds__(Kernel::num_threads)
  run_kernel(const __grid_constant__ Kernel kernel) {
  kernel.run();
}

/// Copies between a GPU and memory of the host that is not page-locked go
/// through this window; the order of the stream keeps them apart.
constexpr uint64_t window_bytes = 4 << 20;

/// Page-locked memory that a stream has in use.
struct staging_place {
  std::shared_ptr<staging_chunk> chunk;  ///< Lists of operations; or null.
  uint64_t used = 0;                     ///< Of it.
  std::shared_ptr<staging_chunk> window; ///< See window_bytes; or null.
};

class queue {
public:
  /// `staged` takes what has to live until the stream has come here.
  queue(gpu& on, cudaStream_t stream,
        std::vector<std::shared_ptr<const void>>& staged, staging_place& place)
    : gpu_(on), stream_(stream), staged_(staged), place_(place) {
  }

  queue(const queue&) = delete;

  /// Gives back what the operation took.
  ~queue() {
    give_back(0);
  }

  const std::string& failure() const {
    return failure_;
  }

  void fail(const std::string& why) {
    if (failure_.empty())
      failure_ = why;
  }

  /// Brings elements to the device, for the kernels of this operation.
  template <class T>
  list<T> bring(const std::vector<T>& from) {
    static_assert(std::is_trivially_copyable_v<T>);
    auto bytes = from.size() * sizeof(T);
    auto mem = bring_bytes(from.data(), bytes);
    return {reinterpret_cast<const T*>(mem), from.size()};
  }

  /// Memory of the device until the operation has ended, or it is given back;
  /// 0 after a failure.
  uint64_t scratch(uint64_t bytes);

  /// What there is of it.
  size_t num_scratch() const {
    return scratch_.size();
  }

  /// What was enqueued uses nothing of it behind the first `count` any more
  /// once the stream has come here.
  void give_back(size_t count);

  template <class Kernel>
  void launch(const Kernel& kernel, blocks_of_launch blocks,
              uint32_t shared_bytes = 0) {
    if constexpr (requires { Kernel::shared_bytes; })
      shared_bytes = Kernel::shared_bytes;
    if (!failure_.empty() || !blocks.exist())
      return;
    constexpr uint32_t usual_shared_bytes = 48 << 10;
    if (shared_bytes > usual_shared_bytes)
      note(cudaFuncSetAttribute(run_kernel<Kernel>,
                                cudaFuncAttributeMaxDynamicSharedMemorySize,
                                int(shared_bytes)));
    if (!failure_.empty())
      return;
    run_kernel<Kernel><<<dim3{blocks.x, blocks.y, blocks.z},
                         Kernel::num_threads, shared_bytes, stream_>>>(kernel);
    note(cudaGetLastError());
  }

  void copy_in(uint64_t dst, const std::byte* src, uint64_t bytes);
  void copy_out(std::byte* dst, uint64_t src, uint64_t bytes);

  /// Rows of the host that follow each other, to rows that may be apart.
  void copy_rows_in(uint64_t dst, uint64_t dst_stride, const std::byte* src,
                    uint64_t row_bytes, uint32_t count);

private:
  uint64_t bring_bytes(const void* from, uint64_t bytes);
  bool has_window();
  void copy_on_host(std::byte* dst, const std::byte* src, uint64_t bytes);

  void note(cudaError_t error) {
    if (error != cudaSuccess)
      fail(sentence_of(error));
  }

  gpu& gpu_;
  const cudaStream_t stream_;
  std::vector<std::shared_ptr<const void>>& staged_;
  staging_place& place_;
  const staging_chunk* held_ = nullptr; ///< Is among staged_ already.
  std::vector<void*> scratch_;
  std::string failure_;
};

/// Runs `op` if it is one of these. The first that fits ends the search.
template <class... Ops>
void run_if_any_of(queue& q, const operation& op) {
  auto runs = [&](auto* what) {
    if (what)
      run(q, *what);
    return what != nullptr;
  };
  (runs(std::get_if<Ops>(&op)) || ...);
}

// Each in the source of its kernels.
void run_rows(queue& q, const operation& op);
void run_products(queue& q, const operation& op);
void run_attention(queue& q, const operation& op);
void run_sample(queue& q, const operation& op);

} // namespace troupe::kernels::cuda
