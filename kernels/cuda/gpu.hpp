#pragma once

/// One GPU as streams share it: its pools of memory, the thread that notices
/// come from, and whether it is lost. Nothing here throws and nothing ends the
/// process: an error of CUDA is a sentence.

#include "kernels/host/thread_pool.hpp"

#include <cuda_runtime.h>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace troupe::kernels::cuda {

/// Returns a sentence on what CUDA says; empty: all is well. Forgets errors
/// that leave the device as it is.
std::string sentence_of(cudaError_t error);

/// Page-locked memory that the host fills for one copy to the device.
struct staging_chunk {
  /// Others are of this, doubled.
  static constexpr uint64_t least_bytes = 256 << 10;

  std::byte* data = nullptr;
  uint64_t bytes = 0;

  staging_chunk() = default;
  staging_chunk(const staging_chunk&) = delete;
  ~staging_chunk();
};

class gpu : public std::enable_shared_from_this<gpu> {
public:
  /// Null: `why` says why.
  static std::shared_ptr<gpu> open(uint32_t ordinal, std::string& why);

  gpu(const gpu&) = delete;
  ~gpu();

  uint32_t ordinal() const {
    return ordinal_;
  }

  cudaMemPool_t memory() const {
    return memory_;
  }

  /// Two numbers of the architecture, e.g. 90.
  int architecture() const {
    return architecture_;
  }

  /// Makes this GPU the one that the calling thread speaks to.
  cudaError_t enter() const {
    return cudaSetDevice(int(ordinal_));
  }

  /// The one thread that notices come from.
  const std::shared_ptr<thread_pool>& notices() const {
    return notices_;
  }

  /// Page-locked memory, which comes back by itself; null if there is none.
  std::shared_ptr<staging_chunk> stage(uint64_t bytes);

private:
  gpu(uint32_t ordinal, int architecture)
    : ordinal_(ordinal), architecture_(architecture) {
  }

  std::unique_ptr<staging_chunk> idle_chunk(uint64_t bytes);
  void keep(std::unique_ptr<staging_chunk> chunk);

  const uint32_t ordinal_;
  const int architecture_;
  cudaMemPool_t memory_ = nullptr;
  std::mutex mutex_;
  std::vector<std::unique_ptr<staging_chunk>> idle_; ///< Smallest first.
  uint64_t idle_bytes_ = 0;
  const std::shared_ptr<thread_pool> notices_
    = std::make_shared<thread_pool>(1);
};

} // namespace troupe::kernels::cuda
