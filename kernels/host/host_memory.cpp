#include "kernels/host/host_memory.hpp"

#include "kernels/check.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <sys/mman.h>

namespace troupe::kernels::host {

namespace {

std::byte* claim(uint64_t bytes, uint64_t mapping_bytes) {
  if (bytes > std::numeric_limits<int64_t>::max())
    return nullptr;
  if (bytes < mapping_bytes) {
    auto whole = (std::max<uint64_t>(bytes, 1) + alignment - 1) / alignment
                 * alignment;
    auto mem = std::aligned_alloc(alignment, whole);
    return mem ? static_cast<std::byte*>(std::memset(mem, 0, whole)) : nullptr;
  }
  auto mem = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mem == MAP_FAILED)
    return nullptr;
  if (mapping_bytes == usual_mapping_bytes)
    madvise(mem, bytes, MADV_HUGEPAGE);
  return static_cast<std::byte*>(mem);
}

void release(std::byte* mem, uint64_t bytes, uint64_t mapping_bytes) {
  if (bytes < mapping_bytes)
    std::free(mem);
  else
    CHECK(munmap(mem, bytes) == 0);
}

class plain_host_memory : public host_memory {
public:
  plain_host_memory(std::byte* mem, uint64_t bytes, uint64_t mapping_bytes)
    : mem_(mem), bytes_(bytes), mapping_bytes_(mapping_bytes) {
  }

  plain_host_memory(const plain_host_memory&) = delete;

  ~plain_host_memory() override {
    release(mem_, bytes_, mapping_bytes_);
  }

  std::byte* data() override {
    return mem_;
  }

  uint64_t size() const override {
    return bytes_;
  }

private:
  std::byte* const mem_;
  const uint64_t bytes_;
  const uint64_t mapping_bytes_;
};

} // namespace

heap::~heap() {
  for (auto [address, bytes] : live_)
    release(reinterpret_cast<std::byte*>(address), bytes, mapping_bytes_);
}

std::optional<buffer> heap::allocate(uint64_t bytes) {
  if (bytes == 0)
    return buffer{device_, 0, 0};
  auto mem = claim(bytes, mapping_bytes_);
  if (!mem)
    return std::nullopt;
  auto address = reinterpret_cast<uint64_t>(mem);
  std::lock_guard guard{mutex_};
  live_.emplace(address, bytes);
  return buffer{device_, address, bytes};
}

void heap::free(const buffer& mem) {
  if (!mem)
    return;
  CHECK(mem.device == device_);
  {
    std::lock_guard guard{mutex_};
    auto i = live_.find(mem.offset);
    CHECK(i != live_.end() && i->second == mem.bytes);
    live_.erase(i);
  }
  release(address_of(mem), mem.bytes, mapping_bytes_);
}

host_ptr allocate_host(uint64_t bytes, uint64_t mapping_bytes) {
  auto mem = claim(bytes, mapping_bytes);
  if (!mem)
    return nullptr;
  return std::make_shared<plain_host_memory>(mem, bytes, mapping_bytes);
}

} // namespace troupe::kernels::host
