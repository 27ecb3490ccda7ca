#include "runtime/kv_store/host_buffers.hpp"

#include <algorithm>
#include <utility>

namespace troupe {

namespace {

/// Of all buffers of a kind, and how many there are at least and at most.
constexpr uint64_t good_bytes = 128 << 20;
constexpr uint64_t least = 4;
constexpr uint64_t most = 128;

} // namespace

uint32_t host_buffers::good_count(uint64_t bytes) {
  return static_cast<uint32_t>(
    std::clamp(good_bytes / std::max<uint64_t>(bytes, 1), least, most));
}

std::shared_ptr<host_buffers>
host_buffers::make(kernels::device& dev, uint32_t count, uint64_t bytes) {
  std::shared_ptr<host_buffers> out{new host_buffers};
  out->self_ = out;
  for (uint32_t i = 0; i < count; ++i) {
    auto x = dev.allocate_host(bytes);
    if (!x)
      return nullptr;
    out->free_.push_back(std::move(x));
  }
  return out;
}

kernels::host_ptr host_buffers::take() {
  std::lock_guard guard{mutex_};
  if (free_.empty()) {
    is_wanted_ = true;
    return nullptr;
  }
  auto x = std::move(free_.back());
  free_.pop_back();
  auto* raw = x.get();
  return {raw, [to = self_, x = std::move(x)](auto*) mutable {
            if (auto all = to.lock())
              all->give_back(std::move(x));
          }};
}

void host_buffers::give_back(kernels::host_ptr x) {
  std::function<void()> hears;
  {
    std::lock_guard guard{mutex_};
    free_.push_back(std::move(x));
    if (std::exchange(is_wanted_, false))
      hears = on_free_;
  }
  if (hears)
    hears();
}

void host_buffers::set_on_free(std::function<void()> fn) {
  std::lock_guard guard{mutex_};
  on_free_ = std::move(fn);
}

} // namespace troupe
