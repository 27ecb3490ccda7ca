#include "runtime/dispatch/slab_pool.hpp"

#include "runtime/transport/block_pool.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdlib>
#include <mutex>

namespace troupe {

namespace {

constexpr uint64_t smallest = 4096;
constexpr size_t num_classes = 32; ///< 4 KiB << class

/// What is kept of the owners of slabs that came back, in bytes.
constexpr size_t max_idle_owners = 1 << 20;

size_t class_of(uint64_t bytes) {
  auto rounded = std::bit_ceil(std::max(bytes, smallest));
  return static_cast<size_t>(std::countr_zero(rounded / smallest));
}

uint64_t size_of(size_t c) {
  return smallest << c;
}

} // namespace

struct slab_pool::shelf {
  std::mutex mutex;
  std::shared_ptr<block_pool> owners
    = std::make_shared<block_pool>(max_idle_owners);
  uint64_t max_bytes = 0;
  uint64_t claimed = 0; ///< In use or idle.
  uint64_t in_use = 0;
  std::array<std::vector<std::byte*>, num_classes> idle;
  std::vector<std::function<void()>> waiting; ///< For room.

  ~shelf() {
    for (auto& list : idle)
      for (auto* data : list)
        std::free(data);
  }

  // -- with the mutex held ----------------------------------------------------

  bool has_room(uint64_t bytes) const {
    return in_use + bytes <= max_bytes;
  }

  /// Frees idle slabs until `bytes` more may be claimed.
  bool make_room(uint64_t bytes) {
    for (size_t c = num_classes; c-- > 0 && claimed + bytes > max_bytes;)
      while (!idle[c].empty() && claimed + bytes > max_bytes) {
        std::free(idle[c].back());
        idle[c].pop_back();
        claimed -= size_of(c);
      }
    return claimed + bytes <= max_bytes;
  }

  std::byte* take(size_t c) {
    std::byte* data = nullptr;
    if (!idle[c].empty()) {
      data = idle[c].back();
      idle[c].pop_back();
    } else if (make_room(size_of(c))) {
      data = static_cast<std::byte*>(std::aligned_alloc(64, size_of(c)));
      claimed += data ? size_of(c) : 0;
    }
    in_use += data ? size_of(c) : 0;
    return data;
  }

  // -- without it -------------------------------------------------------------

  void give_back(std::byte* data, size_t c) {
    std::vector<std::function<void()>> calls;
    {
      std::lock_guard lock{mutex};
      idle[c].push_back(data);
      in_use -= size_of(c);
      calls.swap(waiting);
    }
    for (auto& call : calls)
      call();
  }
};

slab_pool::slab_pool(uint64_t max_bytes) : shelf_(std::make_shared<shelf>()) {
  shelf_->max_bytes = max_bytes;
}

std::optional<slab_pool::slab> slab_pool::take(uint64_t bytes) {
  std::lock_guard lock{shelf_->mutex};
  return take_locked(bytes);
}

std::optional<slab_pool::slab> slab_pool::take_locked(uint64_t bytes) {
  if (bytes > size_of(num_classes - 1))
    return std::nullopt;
  auto c = class_of(bytes);
  auto* data = shelf_->take(c);
  if (!data)
    return std::nullopt;
  auto give_back = [shelf = shelf_, c](std::byte* x) {
    shelf->give_back(x, c);
  };
  pooled_allocator<std::byte> of_owner{shelf_->owners};
  return slab{std::shared_ptr<std::byte>{data, give_back, of_owner}, bytes};
}

slab_pool::room slab_pool::take_all(std::span<const uint64_t> sizes,
                                    const std::function<void()>& on_room,
                                    std::vector<slab>& out) {
  std::vector<slab> taken; // goes after the lock: giving back takes it
  std::lock_guard lock{shelf_->mutex};
  uint64_t needed = 0;
  for (auto bytes : sizes) {
    if (bytes > size_of(num_classes - 1))
      return room::never;
    needed += size_of(class_of(bytes));
  }
  if (needed > shelf_->max_bytes)
    return room::never;
  if (!shelf_->has_room(needed)) {
    shelf_->waiting.push_back(on_room);
    return room::later;
  }
  for (auto bytes : sizes) {
    auto next = take_locked(bytes);
    if (!next)
      return room::never;
    taken.push_back(std::move(*next));
  }
  std::ranges::move(taken, std::back_inserter(out));
  return room::there;
}

uint64_t slab_pool::in_use() const {
  std::lock_guard lock{shelf_->mutex};
  return shelf_->in_use;
}

uint64_t slab_pool::limit() const {
  return shelf_->max_bytes; // never changes
}

uint64_t slab_pool::footprint(uint64_t bytes, uint64_t count) {
  return 2 * bytes + smallest * count;
}

} // namespace troupe
