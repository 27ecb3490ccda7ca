#include "kernels/cuda/queue.hpp"

namespace troupe::kernels::cuda {

namespace {

/// Whether CUDA may read or write it while the host goes on.
bool is_page_locked(const void* p) {
  cudaPointerAttributes found = {};
  if (cudaPointerGetAttributes(&found, p) != cudaSuccess) {
    cudaGetLastError();
    return false;
  }
  return found.type != cudaMemoryTypeUnregistered;
}

struct host_copy {
  std::byte* dst;
  const std::byte* src;
  uint64_t bytes;

  static void run(void* self) {
    std::unique_ptr<host_copy> own{static_cast<host_copy*>(self)};
    std::memcpy(own->dst, own->src, own->bytes);
  }
};

} // namespace

uint64_t queue::scratch(uint64_t bytes) {
  void* mem = nullptr;
  if (!failure_.empty())
    return 0;
  note(cudaMallocFromPoolAsync(&mem, std::max<uint64_t>(bytes, 1),
                               gpu_.memory(), stream_));
  if (mem)
    scratch_.push_back(mem);
  return reinterpret_cast<uint64_t>(mem);
}

void queue::give_back(size_t count) {
  for (; scratch_.size() > count; scratch_.pop_back())
    if (auto error = cudaFreeAsync(scratch_.back(), stream_))
      sentence_of(error); // of a GPU that is lost: others say so
}

uint64_t queue::bring_bytes(const void* from, uint64_t bytes) {
  auto mem = scratch(bytes);
  if (!failure_.empty() || bytes == 0)
    return mem;
  auto& [chunk, used, window] = place_;
  if (!chunk || used + bytes > chunk->bytes) {
    chunk = gpu_.stage(bytes);
    used = 0;
    if (!chunk) {
      fail("no page-locked memory is left");
      return mem;
    }
  }
  if (held_ != chunk.get())
    staged_.push_back(chunk);
  held_ = chunk.get();
  auto at = chunk->data + used;
  std::memcpy(at, from, bytes);
  used += (bytes + 63) / 64 * 64;
  note(cudaMemcpyAsync(reinterpret_cast<void*>(mem), at, bytes,
                       cudaMemcpyHostToDevice, stream_));
  return mem;
}

bool queue::has_window() {
  if (!place_.window)
    place_.window = gpu_.stage(window_bytes);
  if (!place_.window)
    fail("no page-locked memory is left");
  return place_.window != nullptr;
}

void queue::copy_on_host(std::byte* dst, const std::byte* src, uint64_t bytes) {
  auto what = std::make_unique<host_copy>(host_copy{dst, src, bytes});
  auto error = cudaLaunchHostFunc(stream_, &host_copy::run, what.get());
  note(error);
  if (error == cudaSuccess)
    what.release();
}

void queue::copy_in(uint64_t dst, const std::byte* src, uint64_t bytes) {
  copy_rows_in(dst, bytes, src, bytes, 1);
}

void queue::copy_rows_in(uint64_t dst, uint64_t dst_stride,
                         const std::byte* src, uint64_t row_bytes,
                         uint32_t count) {
  if (row_bytes == 0 || count == 0 || !failure_.empty())
    return;
  auto copy = [&](uint64_t to, const std::byte* from, uint64_t width,
                  uint64_t height) {
    if (height == 1 || dst_stride == width) // pitches end at 2 GiB
      return note(cudaMemcpyAsync(reinterpret_cast<void*>(to), from,
                                  width * height, cudaMemcpyHostToDevice,
                                  stream_));
    note(cudaMemcpy2DAsync(reinterpret_cast<void*>(to), dst_stride, from, width,
                           width, height, cudaMemcpyHostToDevice, stream_));
  };
  if (is_page_locked(src))
    return copy(dst, src, row_bytes, count);
  if (!has_window())
    return;
  if (row_bytes > window_bytes) {
    for (uint64_t r = 0; r < count; ++r)
      for (uint64_t at = 0; at < row_bytes; at += window_bytes) {
        auto size = std::min(window_bytes, row_bytes - at);
        copy_on_host(place_.window->data, src + r * row_bytes + at, size);
        note(cudaMemcpyAsync(reinterpret_cast<void*>(dst + r * dst_stride + at),
                             place_.window->data, size, cudaMemcpyHostToDevice,
                             stream_));
      }
    return;
  }
  auto most = window_bytes / row_bytes;
  for (uint64_t r = 0; r < count && failure_.empty(); r += most) {
    auto height = std::min<uint64_t>(most, count - r);
    copy_on_host(place_.window->data, src + r * row_bytes, height * row_bytes);
    copy(dst + r * dst_stride, place_.window->data, row_bytes, height);
  }
}

void queue::copy_out(std::byte* dst, uint64_t src, uint64_t bytes) {
  if (bytes == 0 || !failure_.empty())
    return;
  auto copy = [&](std::byte* to, uint64_t from, uint64_t size) {
    note(cudaMemcpyAsync(to, reinterpret_cast<const void*>(from), size,
                         cudaMemcpyDeviceToHost, stream_));
  };
  if (is_page_locked(dst))
    return copy(dst, src, bytes);
  if (!has_window())
    return;
  for (uint64_t at = 0; at < bytes && failure_.empty(); at += window_bytes) {
    auto size = std::min(window_bytes, bytes - at);
    copy(place_.window->data, src + at, size);
    copy_on_host(dst + at, place_.window->data, size);
  }
}

} // namespace troupe::kernels::cuda
