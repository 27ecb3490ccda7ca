#include "kernels/cuda/gpu.hpp"

#include <algorithm>
#include <bit>

namespace troupe::kernels::cuda {

namespace {

/// Of idle chunks that are kept for the next copies: claiming page-locked
/// memory, and letting go of it, may wait for the whole GPU.
constexpr uint64_t max_idle_bytes = 256 << 20;

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
  if (!why.empty())
    return nullptr;
  // It lets go of memory and of events: of this GPU's.
  out->notices_->submit([ordinal] { cudaSetDevice(int(ordinal)); });
  return out;
}

gpu::~gpu() {
  idle_.clear();
  if (memory_)
    cudaMemPoolDestroy(memory_);
}

std::unique_ptr<staging_chunk> gpu::idle_chunk(uint64_t bytes) {
  std::lock_guard guard{mutex_};
  auto fits = [bytes](auto& x) { return x->bytes >= bytes; };
  auto found = std::find_if(idle_.begin(), idle_.end(), fits);
  if (found == idle_.end())
    return nullptr;
  auto out = std::move(*found);
  idle_.erase(found);
  idle_bytes_ -= out->bytes;
  return out;
}

std::shared_ptr<staging_chunk> gpu::stage(uint64_t bytes) {
  auto found = idle_chunk(bytes);
  if (!found) {
    found = std::make_unique<staging_chunk>();
    found->bytes = std::max(std::bit_ceil(bytes), staging_chunk::least_bytes);
    void* mem = nullptr;
    auto error = cudaHostAlloc(&mem, found->bytes, cudaHostAllocPortable);
    if (error != cudaSuccess) {
      sentence_of(error); // or the next launch would tell of it
      return nullptr;
    }
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
  if (idle_bytes_ + chunk->bytes > max_idle_bytes)
    return;
  idle_bytes_ += chunk->bytes;
  auto is_larger = [&](auto& x) { return x->bytes > chunk->bytes; };
  auto place = std::find_if(idle_.begin(), idle_.end(), is_larger);
  idle_.insert(place, std::move(chunk));
}

} // namespace troupe::kernels::cuda
