#include "runtime/transport/block_pool.hpp"

#include <algorithm>
#include <bit>

namespace troupe {

namespace {

void* allocate(size_t bytes) {
  return ::operator new (bytes, std::align_val_t{block_pool::alignment});
}

void release(void* block) noexcept {
  ::operator delete (block, std::align_val_t{block_pool::alignment});
}

} // namespace

block_pool::block_pool(size_t max_idle) : max_idle_(max_idle) {
}

block_pool::~block_pool() {
  for (size_t c = 0; c < num_classes; ++c)
    while (shelves_[c].first)
      release(pop(c));
}

size_t block_pool::class_of(size_t bytes) {
  auto units = std::max<size_t>((bytes + alignment - 1) / alignment, 1);
  auto c = size_t(std::bit_width(units - 1));
  CHECK(c < num_classes);
  return c;
}

size_t block_pool::size_of(size_t c) {
  return alignment << c;
}

void* block_pool::take(size_t bytes) {
  auto c = class_of(bytes);
  {
    std::lock_guard guard{mutex_};
    if (shelves_[c].first)
      return pop(c);
  }
  return allocate(size_of(c));
}

void block_pool::give_back(void* block, size_t bytes) noexcept {
  auto c = class_of(bytes);
  if (size_of(c) > max_idle_)
    return release(block);
  std::lock_guard guard{mutex_};
  make_room(size_of(c));
  shelves_[c].first = new (block) idle_block{shelves_[c].first};
  ++shelves_[c].count;
  idle_ += size_of(c);
}

size_t block_pool::idle_bytes() const {
  std::lock_guard guard{mutex_};
  return idle_;
}

// -- with the mutex held ------------------------------------------------------

void* block_pool::pop(size_t c) {
  auto block = shelves_[c].first;
  shelves_[c].first = block->next;
  --shelves_[c].count;
  idle_ -= size_of(c);
  return block;
}

/// Frees blocks of the size that takes most until `bytes` more may be kept: few
/// large ones do not drive out the small ones, and a size that is out of use
/// gives way.
void block_pool::make_room(size_t bytes) {
  while (idle_ + bytes > max_idle_) {
    size_t most = 0;
    for (size_t c = 1; c < num_classes; ++c)
      if (shelves_[c].count << c > shelves_[most].count << most)
        most = c;
    release(pop(most));
  }
}

// -- bytes with owners --------------------------------------------------------

std::shared_ptr<std::byte> take_shared(const std::shared_ptr<block_pool>& pool,
                                       size_t bytes) {
  auto give_back = [raw = pool.get(), bytes](std::byte* x) {
    raw->give_back(x, bytes);
  };
  auto data = static_cast<std::byte*>(pool->take(bytes));
  return {data, give_back, pooled_allocator<std::byte>{pool}};
}

} // namespace troupe
