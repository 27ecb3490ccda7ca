#include "runtime/dispatch/slab_pool.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdlib>
#include <mutex>
#include <vector>

namespace troupe {

namespace {

constexpr uint64_t smallest = 4096;
constexpr size_t num_classes = 32; ///< 4 KiB << class

size_t class_of(uint64_t bytes) {
  auto rounded = std::bit_ceil(std::max(bytes, smallest));
  return static_cast<size_t>(std::countr_zero(rounded / smallest));
}

} // namespace

struct slab_pool::shelf {
  std::mutex mutex;
  uint64_t max_bytes = 0;
  uint64_t claimed = 0;
  std::array<std::vector<std::byte*>, num_classes> idle;

  ~shelf() {
    for (auto& list : idle)
      for (auto* data : list)
        std::free(data);
  }

  /// Frees idle slabs until `bytes` more may be claimed.
  bool make_room(uint64_t bytes) {
    for (size_t c = num_classes; c-- > 0 && claimed + bytes > max_bytes;)
      while (!idle[c].empty() && claimed + bytes > max_bytes) {
        std::free(idle[c].back());
        idle[c].pop_back();
        claimed -= smallest << c;
      }
    return claimed + bytes <= max_bytes;
  }
};

slab_pool::slab_pool(uint64_t max_bytes) : shelf_(std::make_shared<shelf>()) {
  shelf_->max_bytes = max_bytes;
}

std::optional<slab_pool::slab> slab_pool::take(uint64_t bytes) {
  if (bytes > smallest << (num_classes - 1))
    return std::nullopt;
  auto c = class_of(bytes);
  std::byte* data = nullptr;
  {
    std::lock_guard lock{shelf_->mutex};
    if (!shelf_->idle[c].empty()) {
      data = shelf_->idle[c].back();
      shelf_->idle[c].pop_back();
    } else if (shelf_->make_room(smallest << c)) {
      data = static_cast<std::byte*>(std::aligned_alloc(64, smallest << c));
      shelf_->claimed += data ? smallest << c : 0;
    }
  }
  if (!data)
    return std::nullopt;
  auto give_back = [shelf = shelf_, c](std::byte* x) {
    std::lock_guard lock{shelf->mutex};
    shelf->idle[c].push_back(x);
  };
  return slab{std::shared_ptr<std::byte>{data, give_back}, bytes};
}

} // namespace troupe
