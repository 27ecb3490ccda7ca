#pragma once

/// Memory that is used again and again, so that a frame takes nothing from the
/// heap once those before it have been through. Blocks of any size come from
/// one pool and go back to it, on whatever thread; so many bytes as its owner
/// says are kept for the next ones. Thread-safe.

#include "kernels/check.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <new>
#include <utility>

namespace troupe {

class block_pool {
public:
  static constexpr size_t alignment = 64;

  /// Keeps at most `max_idle` bytes that nobody uses.
  explicit block_pool(size_t max_idle);
  block_pool(const block_pool&) = delete;
  block_pool& operator=(const block_pool&) = delete;

  /// Whatever is still out then must not come back: hold the pool as long.
  ~block_pool();

  /// At least `bytes`, 64-byte aligned, not cleared. Throws std::bad_alloc if
  /// the machine has no more.
  void* take(size_t bytes);

  /// `bytes` as it was taken.
  void give_back(void* block, size_t bytes) noexcept;

  /// An object in a block of its own, until unmake().
  template <class T, class... Args>
  T* make(Args&&... args) {
    static_assert(alignof(T) <= alignment);
    auto place = take(sizeof(T));
    return new (place) T{std::forward<Args>(args)...};
  }

  template <class T>
  void unmake(T* x) noexcept {
    x->~T();
    give_back(x, sizeof(T));
  }

  size_t idle_bytes() const;

private:
  static constexpr size_t num_classes = 40; ///< 64 bytes << class

  /// An idle block holds the address of the next one.
  struct idle_block {
    idle_block* next;
  };

  struct shelf {
    idle_block* first = nullptr;
    size_t count = 0;
  };

  static size_t class_of(size_t bytes);
  static size_t size_of(size_t c);

  void* pop(size_t c);
  void make_room(size_t bytes);

  const size_t max_idle_;
  mutable std::mutex mutex_; ///< For the two below.
  size_t idle_ = 0;          ///< Bytes.
  std::array<shelf, num_classes> shelves_;
};

/// Lets the standard library's classes live in a pool, which they keep alive.
template <class T>
class pooled_allocator {
public:
  using value_type = T;

  explicit pooled_allocator(std::shared_ptr<block_pool> pool)
    : pool_(std::move(pool)) {
  }

  template <class U>
  explicit(false) pooled_allocator(const pooled_allocator<U>& other)
    : pool_(other.pool()) {
  }

  T* allocate(size_t n) {
    static_assert(alignof(T) <= block_pool::alignment);
    return static_cast<T*>(pool_->take(n * sizeof(T)));
  }

  void deallocate(T* p, size_t n) noexcept {
    pool_->give_back(p, n * sizeof(T));
  }

  const std::shared_ptr<block_pool>& pool() const {
    return pool_;
  }

  friend bool operator==(const pooled_allocator& x, const pooled_allocator& y) {
    return x.pool_ == y.pool_;
  }

private:
  std::shared_ptr<block_pool> pool_;
};

/// Bytes that go back to the pool with their last owner, and keep it alive
/// until then.
std::shared_ptr<std::byte> take_shared(const std::shared_ptr<block_pool>& pool,
                                       size_t bytes);

} // namespace troupe
