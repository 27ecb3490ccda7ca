#include "kernels/cuda/gpu.hpp"

#include <algorithm>

namespace troupe::kernels::cuda {

namespace {

/// Idle chunks that are kept for the next copies.
constexpr size_t max_idle_chunks = 64;

} // namespace

std::string sentence_of(cudaError_t error) {
  if (error == cudaSuccess)
    return {};
  cudaGetLastError(); // one that lasts comes again
  return std::string{cudaGetErrorString(error)} + " (" + cudaGetErrorName(error)
         + ")";
}

staging_chunk::~staging_chunk() {
  if (data)
    cudaFreeHost(data);
}

std::shared_ptr<gpu> gpu::open(uint32_t ordinal, std::string& why) {
  int major = 0, minor = 0;
  auto error = cudaSetDevice(int(ordinal));
  if (error == cudaSuccess)
    error = cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor,
                                   int(ordinal));
  if (error == cudaSuccess)
    error = cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor,
                                   int(ordinal));
  std::shared_ptr<gpu> out{new gpu{ordinal, 10 * major + minor}};
  if (error == cudaSuccess) {
    cudaMemPoolProps props = {};
    props.allocType = cudaMemAllocationTypePinned;
    props.location = {cudaMemLocationTypeDevice, int(ordinal)};
    error = cudaMemPoolCreate(&out->memory_, &props);
  }
  if (error == cudaSuccess) {
    // What is freed stays with the pool: the next claim is a list's head.
    uint64_t all = ~uint64_t{0};
    error = cudaMemPoolSetAttribute(out->memory_,
                                    cudaMemPoolAttrReleaseThreshold, &all);
  }
  why = sentence_of(error);
  return why.empty() ? out : nullptr;
}

gpu::~gpu() {
  idle_.clear();
  if (memory_)
    cudaMemPoolDestroy(memory_);
}

std::shared_ptr<staging_chunk> gpu::stage(uint64_t bytes) {
  std::unique_ptr<staging_chunk> found;
  if (bytes <= staging_chunk::usual_bytes) {
    std::lock_guard guard{mutex_};
    if (!idle_.empty()) {
      found = std::move(idle_.back());
      idle_.pop_back();
    }
  }
  if (!found) {
    found = std::make_unique<staging_chunk>();
    found->bytes = std::max(bytes, staging_chunk::usual_bytes);
    void* mem = nullptr;
    if (cudaHostAlloc(&mem, found->bytes, cudaHostAllocPortable) != cudaSuccess)
      return nullptr;
    found->data = static_cast<std::byte*>(mem);
  }
  auto back = [self = weak_from_this()](staging_chunk* chunk) {
    std::unique_ptr<staging_chunk> own{chunk};
    if (auto there = self.lock())
      there->keep(std::move(own));
  };
  return {found.release(), back};
}

void gpu::keep(std::unique_ptr<staging_chunk> chunk) {
  std::lock_guard guard{mutex_};
  if (chunk->bytes == staging_chunk::usual_bytes
      && idle_.size() < max_idle_chunks)
    idle_.push_back(std::move(chunk));
}

} // namespace troupe::kernels::cuda
