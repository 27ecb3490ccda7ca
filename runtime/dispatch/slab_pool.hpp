#pragma once

/// Recycles the memory of slabs, so that a step allocates nothing once the
/// pool is warm. Thread-safe; slabs may outlive the pool.

#include "runtime/transport/frame.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace troupe {

class slab_pool {
public:
  /// Keeps at most `max_bytes` outside, in use or idle.
  explicit slab_pool(uint64_t max_bytes);

  struct slab {
    std::shared_ptr<std::byte> data; ///< 64-byte aligned.
    uint64_t bytes = 0;

    body whole() const {
      return {data, {data.get(), bytes}};
    }
  };

  /// Claims at least one byte; nothing if the limit is reached.
  std::optional<slab> take(uint64_t bytes);

  /// Whether a claim has found room.
  enum class room : uint8_t {
    there,
    later, ///< `on_room` is called once, when a slab has come back.
    never, ///< It is more than the pool may hold, or the system has no memory.
  };

  /// Claims slabs of these sizes and appends them to `out`: all or none.
  /// `on_room` is called by whoever gives a slab back, so it must be short.
  room take_all(std::span<const uint64_t> sizes,
                const std::function<void()>& on_room, std::vector<slab>& out);

  /// Bytes of slabs that somebody holds, and how many they may be.
  uint64_t in_use() const;
  uint64_t limit() const;

  /// What slabs of `bytes` bytes in all take of a pool at most, if they are
  /// `count` slabs.
  static uint64_t footprint(uint64_t bytes, uint64_t count);

private:
  struct shelf;

  std::optional<slab> take_locked(uint64_t bytes);

  std::shared_ptr<shelf> shelf_;
};

} // namespace troupe
