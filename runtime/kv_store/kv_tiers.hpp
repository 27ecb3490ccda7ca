#pragma once

/// Where a node keeps sealed blocks beside the caches of its ranks: in host
/// memory, on a disk, or both. What stands in memory is not read from the disk,
/// and is written to it from there. For one thread.

#include "runtime/kv_store/host_buffers.hpp"
#include "runtime/kv_store/kv_memory.hpp"
#include "runtime/kv_store/kv_store.hpp"

namespace troupe {

struct kv_tiers {
  std::unique_ptr<kv_memory> memory; ///< Null: there is only a disk.
  std::shared_ptr<kv_store> store; ///< Null: it is not open, or there is none.

  /// Where a block is copied to.
  struct target {
    kernels::host_ptr bytes;         ///< Null: it is kept nowhere, or waits.
    std::optional<uint64_t> slot;    ///< Of memory, where it stays.
    std::optional<kv_ticket> ticket; ///< Of the disk, where it goes.
    bool waits = false;              ///< For host memory on the way.
  };

  /// `may_write`: to the disk. What is only on its way there is copied to one
  /// of `way`. Nobody finds a block without the one before it, so none is kept
  /// without it.
  target begin_keep(const kv_block& x, bool may_write, host_buffers& way) const;

  /// What is found of a chain from its first block on.
  struct finding {
    uint32_t all = 0;
    uint32_t before_disk = 0; ///< Of them, those before the first on the disk.
    uint32_t on_disk = 0;     ///< Of them, those that are to be read.
  };

  /// `may_read`: from the disk.
  finding find(std::span<const kv_block> chain, bool may_read) const;

  /// See kv_index::touch.
  void touch(const kv_key& last) const;

  /// A ticket to erase it from the disk with; nothing if it was not there.
  std::optional<kv_ticket> drop(const kv_key& x) const;
};

} // namespace troupe
