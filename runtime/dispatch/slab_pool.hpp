#pragma once

/// Recycles the memory of slabs, so that a step allocates nothing once the
/// pool is warm. Thread-safe; slabs may outlive the pool.

#include "runtime/transport/frame.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

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

private:
  struct shelf;
  std::shared_ptr<shelf> shelf_;
};

} // namespace troupe
