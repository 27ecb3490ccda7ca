#pragma once

/// Where a node keeps sealed blocks beside the caches of its ranks: in host
/// memory, on a disk, or both. What stands in memory is not read from the disk,
/// and is written to it from there. For one thread.

#include "runtime/kv_store/kv_memory.hpp"
#include "runtime/kv_store/kv_store.hpp"

namespace troupe {

struct kv_tiers {
  std::unique_ptr<kv_memory> memory; ///< Null: there is only a disk.
  std::shared_ptr<kv_store> store; ///< Null: it is not open, or there is none.

  /// Its place in memory; nothing if it is there or memory does not take it,
  /// see kv_memory::begin_write.
  std::optional<kv_memory::place> begin_keep(const kv_block& x) const;

  /// Or on its way there.
  bool is_in_memory(const kv_key& x) const {
    return memory && memory->index().has(x);
  }

  /// On its way there.
  bool is_coming_to_memory(const kv_key& x) const {
    return is_in_memory(x) && !memory->index().can_read(x);
  }

  /// Or on its way there.
  bool is_on_disk(const kv_key& x) const {
    return store && store->index().has(x);
  }

  /// Whether the disk lacks it. Nobody finds a block without the one before it,
  /// so none is written without it.
  bool is_to_be_written(const kv_block& x) const {
    return store && !is_on_disk(x.key) && store->index().has_before(x);
  }

  /// What is found of a chain from its first block on.
  struct finding {
    uint32_t all = 0;
    uint32_t before_disk = 0; ///< Of them, those before the first on the disk.
    uint32_t on_disk = 0;     ///< Of them, those that are to be read.
    uint32_t missed = 0;      ///< Of the others, those that a disk lacks.
  };

  /// `may_read`: from the disk.
  finding find(std::span<const kv_block> chain, bool may_read) const;

  /// Of a chain's blocks, in order, the last that each has, see
  /// kv_index::touch.
  void touch(std::span<const kv_key> chain) const;

  /// These, and all that stands on them in memory or on the disk.
  kv_key_set with_what_stands_on(std::span<const kv_key> keys) const;

  /// A ticket to erase it from the disk with; nothing if it was not there.
  std::optional<kv_ticket> drop(const kv_key& x) const;
};

} // namespace troupe
