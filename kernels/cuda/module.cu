#include "kernels/cuda/module.hpp"

#include "kernels/check.hpp"
#include "kernels/cuda/stream.hpp"
#include "kernels/cuda/views.hpp"

#include <cstdio>
#include <cstring>
#include <unordered_map>

namespace troupe::kernels::cuda {

namespace {

class page_locked_memory : public host_memory {
public:
  page_locked_memory(std::shared_ptr<gpu> of, std::byte* mem, uint64_t bytes)
    : gpu_(std::move(of)), mem_(mem), bytes_(bytes) {
  }

  page_locked_memory(const page_locked_memory&) = delete;

  ~page_locked_memory() override {
    gpu_->enter();
    if (auto error = cudaFreeHost(mem_))
      sentence_of(error);
  }

  std::byte* data() override {
    return mem_;
  }

  uint64_t size() const override {
    return bytes_;
  }

private:
  const std::shared_ptr<gpu> gpu_;
  std::byte* const mem_;
  const uint64_t bytes_;
};

class gpu_device : public device {
public:
  gpu_device(uint32_t id, std::shared_ptr<gpu> on)
    : id_(id), gpu_(std::move(on)),
      target_("cuda/sm_" + std::to_string(gpu_->architecture())) {
    gpu_->enter();
    cudaStreamCreateWithFlags(&memory_stream_, cudaStreamNonBlocking);
  }

  gpu_device(const gpu_device&) = delete;

  ~gpu_device() override {
    gpu_->enter();
    for (auto& [address, bytes] : live_)
      cudaFreeAsync(reinterpret_cast<void*>(address), memory_stream_);
    cudaStreamSynchronize(memory_stream_);
    cudaStreamDestroy(memory_stream_);
  }

  uint32_t id() const override {
    return id_;
  }

  std::string_view target() const override {
    return target_;
  }

  /// Waits until the memory has been cleared: every stream may use it.
  std::optional<buffer> allocate(uint64_t bytes) override {
    if (bytes == 0)
      return buffer{id_, 0, 0};
    void* mem = nullptr;
    auto error = gpu_->enter();
    if (error == cudaSuccess)
      error = cudaMallocFromPoolAsync(&mem, bytes, gpu_->memory(),
                                      memory_stream_);
    if (error == cudaSuccess)
      error = cudaMemsetAsync(mem, 0, bytes, memory_stream_);
    if (error == cudaSuccess)
      error = cudaStreamSynchronize(memory_stream_);
    if (error != cudaSuccess) {
      sentence_of(error);
      if (mem && cudaFreeAsync(mem, memory_stream_) != cudaSuccess)
        cudaGetLastError();
      return std::nullopt;
    }
    auto address = reinterpret_cast<uint64_t>(mem);
    std::lock_guard guard{mutex_};
    live_[address] = bytes;
    return buffer{id_, address, bytes};
  }

  void free(buffer mem) override {
    if (!mem)
      return;
    {
      std::lock_guard guard{mutex_};
      auto found = live_.find(mem.offset);
      CHECK(found != live_.end() && found->second == mem.bytes);
      live_.erase(found);
    }
    gpu_->enter();
    if (auto error = cudaFreeAsync(reinterpret_cast<void*>(mem.offset),
                                   memory_stream_))
      sentence_of(error);
  }

  host_ptr allocate_host(uint64_t bytes) override {
    void* mem = nullptr;
    gpu_->enter();
    auto error = cudaHostAlloc(&mem, std::max<uint64_t>(bytes, 1),
                               cudaHostAllocPortable);
    if (error != cudaSuccess) {
      sentence_of(error);
      return nullptr;
    }
    std::memset(mem, 0, bytes);
    return std::make_shared<page_locked_memory>(
      gpu_, static_cast<std::byte*>(mem), bytes);
  }

  uint64_t weight_bytes(dtype type, uint32_t rows, uint32_t cols,
                        uint32_t groups) const override {
    return packed_weight{type, rows, cols, groups}.bytes();
  }

  std::unique_ptr<stream> make_stream() override {
    return cuda::make_stream(gpu_);
  }

private:
  const uint32_t id_;
  const std::shared_ptr<gpu> gpu_;
  const std::string target_;
  cudaStream_t memory_stream_ = nullptr;
  std::mutex mutex_;
  std::unordered_map<uint64_t, uint64_t> live_; ///< Address to bytes.
};

uint32_t count(char* why, size_t size) {
  int found = 0;
  auto error = cudaGetDeviceCount(&found);
  if (error == cudaSuccess && found > 0)
    return uint32_t(found);
  auto text = error == cudaErrorInsufficientDriver
                ? std::string{"no driver of CUDA, or too old a one"}
                : sentence_of(error);
  std::snprintf(why, size, "%s",
                text.empty() ? "this machine has no GPU" : text.c_str());
  return 0;
}

void describe(uint32_t ordinal, char* text, size_t size) {
  cudaDeviceProp p = {};
  if (auto error = cudaGetDeviceProperties(&p, int(ordinal));
      error != cudaSuccess) {
    std::snprintf(text, size, "%s", sentence_of(error).c_str());
    return;
  }
  std::snprintf(text, size, "%s, sm_%d%d, %.1f GB", p.name, p.major, p.minor,
                double(p.totalGlobalMem) / 1e9);
}

device* make(uint32_t id, uint32_t ordinal, char* why, size_t size) {
  auto num_gpus = count(why, size);
  if (num_gpus == 0)
    return nullptr;
  if (ordinal >= num_gpus) {
    std::snprintf(why, size, "there is no GPU %u, only %u", ordinal, num_gpus);
    return nullptr;
  }
  std::string text;
  if (auto on = gpu::open(ordinal, text))
    return new gpu_device(id, std::move(on));
  std::snprintf(why, size, "%s", text.c_str());
  return nullptr;
}

} // namespace

} // namespace troupe::kernels::cuda

extern "C" __attribute__((visibility("default")))
const troupe::kernels::cuda::module_table*
troupe_cuda_module() {
  using namespace troupe::kernels::cuda;
  static const module_table table{
    module_version, module_layout, TROUPE_CUDA_ARCHITECTURES,
    count,          describe,      make};
  return &table;
}
