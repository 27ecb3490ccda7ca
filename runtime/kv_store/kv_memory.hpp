#pragma once

/// Sealed blocks of the latent cache in the host memory of their node: copied
/// out of the cache of a rank once, found again by any rank of the node after
/// the cache has let them go, until the process ends. Behind it there may be a
/// disk (kv_store.hpp).
///
/// A plain class for one thread. What it hands out may be read and written by
/// any; a place goes to nobody else while somebody holds it.

#include "kernels/device.hpp"
#include "runtime/kv_store/kv_index.hpp"

#include <vector>

namespace troupe {

class kv_memory {
public:
  /// Room for one block.
  struct place {
    uint64_t slot = 0;
    kernels::host_ptr bytes;
  };

  /// Claims room for `max_bytes` of blocks of `block_bytes`, at least one of
  /// them. Null if there is too little memory.
  static std::unique_ptr<kv_memory>
  make(kernels::device& dev, uint64_t max_bytes, uint64_t block_bytes);

  /// What make() claims, with what it takes to find them.
  static uint64_t num_bytes(uint64_t max_bytes, uint64_t block_bytes);

  const kv_index& index() const {
    return index_;
  }

  /// See kv_index::touch.
  void touch(const kv_key& last) {
    index_.touch(last);
  }

  /// Nothing if it is here, or on its way, or the one before it is not, or all
  /// room is in use.
  std::optional<place> begin_write(const kv_block& x);

  /// `ok`: from now on it is found.
  void end_write(uint64_t slot, bool ok);

  /// See kv_index::abandon.
  void abandon(uint64_t slot) {
    index_.abandon(slot);
  }

  /// Nothing if it is not here. It stays until end_read().
  std::optional<place> begin_read(const kv_block& x);
  void end_read(uint64_t slot);

  /// Is of no use to anybody: it is not found any more.
  void drop(const kv_key& x) {
    index_.drop(x);
  }

private:
  explicit kv_memory(std::vector<kernels::host_ptr> room);

  kv_index index_;
  std::vector<kernels::host_ptr> room_; ///< [slots], each of a block's bytes.
  std::vector<kv_block> what_;          ///< [slots]: is there, or will be.
};

} // namespace troupe
