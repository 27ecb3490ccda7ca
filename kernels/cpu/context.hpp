#pragma once

/// What an operation computes with: the loops of the instruction set, the
/// threads, and memory that lasts until the next operation of its stream.

#include "kernels/cpu/kernel_set.hpp"
#include "kernels/host/thread_pool.hpp"

#include <algorithm>
#include <memory>
#include <new>
#include <vector>

namespace troupe::kernels::cpu {

struct free_aligned {
  void operator()(std::byte* mem) const {
    ::operator delete (mem, std::align_val_t{64});
  }
};

using aligned_bytes = std::unique_ptr<std::byte[], free_aligned>;

inline aligned_bytes make_aligned(uint64_t bytes) {
  auto mem = ::operator new (bytes, std::align_val_t{64});
  return aligned_bytes(static_cast<std::byte*>(mem));
}

/// Memory that is handed out piece by piece and taken back all at once; it
/// grows to what the largest operation needed. Not initialised.
class scratch {
public:
  /// Returns `count` values at a multiple of 64 bytes.
  template <class T>
  T* take(uint64_t count) {
    auto bytes = (count * sizeof(T) + 63) / 64 * 64;
    if (used_ + bytes > blocks_.back().bytes)
      grow(bytes);
    auto out = blocks_.back().mem.get() + used_;
    used_ += bytes;
    return reinterpret_cast<T*>(out);
  }

  void reset() {
    if (blocks_.size() > 1) {
      uint64_t sum = 0;
      for (auto& b : blocks_)
        sum += b.bytes;
      blocks_.clear();
      blocks_.push_back({make_aligned(sum), sum});
    }
    used_ = 0;
  }

private:
  struct block {
    aligned_bytes mem;
    uint64_t bytes = 0;
  };

  void grow(uint64_t bytes) {
    auto size = std::max<uint64_t>(bytes, 1 << 20);
    blocks_.push_back({make_aligned(size), size});
    used_ = 0;
  }

  std::vector<block> blocks_ = std::vector<block>(1);
  uint64_t used_ = 0;
};

/// Below this much work waking another thread does not pay.
constexpr uint64_t min_parallel_ns = 12'000;

/// Aim of a piece: long against taking one, short against waiting for the
/// last.
constexpr uint64_t piece_ns = 16'000;

/// Of a region that takes about `ns` in all: short ones are cut finer, so that
/// threads end together.
constexpr uint64_t ns_of_piece(uint64_t ns) {
  return std::clamp<uint64_t>(ns / 16, 2'000, piece_ns);
}

struct context {
  kernel_set kernels;
  thread_pool* pool = nullptr; ///< Kept by the stream.
  scratch memory;

  /// Calls fn(i) for each i below `count`, where a call takes about `ns`.
  template <class Fn>
  void for_each(uint32_t count, uint64_t ns, const Fn& fn) {
    if (count * ns < min_parallel_ns) {
      for (uint32_t i = 0; i < count; ++i)
        fn(i);
      return;
    }
    auto each = ns_of_piece(count * ns);
    auto together = uint32_t(std::max<uint64_t>(1, each / (ns + 1)));
    pool->parallel_for((count + together - 1) / together, [&](uint32_t piece) {
      auto last = std::min(count, (piece + 1) * together);
      for (auto i = piece * together; i < last; ++i)
        fn(i);
    });
  }
};

} // namespace troupe::kernels::cpu
