#pragma once

/// Which slot of a store has which block, and which one goes when room is
/// wanted: the one that has been of no use longest. A block is never older
/// than those behind it in its chain, so that chains go from their ends.
///
/// A plain class: no clock, no I/O, one thread. What is being written cannot
/// be found, what is being read or written does not go.

#include "runtime/kv_store/kv_key.hpp"

#include <algorithm>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

namespace troupe {

class kv_index {
public:
  explicit kv_index(uint64_t num_slots) : num_slots_(num_slots) {
    // Moved never: what it may take is claimed once. Unused pages cost nothing.
    entries_.reserve(std::min<uint64_t>(num_slots, none));
  }

  /// Of memory that so many slots take at most.
  static uint64_t num_bytes(uint64_t num_slots) {
    constexpr uint64_t node = 80, buckets = 2 * sizeof(void*);
    return num_slots * (sizeof(entry) + node + buckets + sizeof(uint32_t));
  }

  // -- what a store finds when it is opened -----------------------------------

  /// Of two with one key the later stays. Passed over if there is no such slot.
  void add(uint64_t slot, const kv_block& x, uint64_t serial);

  /// Puts all that was added in order of age: that of their writes.
  void arrange();

  // -- use --------------------------------------------------------------------

  bool has(const kv_key& x) const {
    return slot_of_.contains(x);
  }

  /// Whether the block before it is here, or on its way: without that one
  /// nobody would find it.
  bool has_before(const kv_block& x) const {
    return x.depth == 0 || has(x.before);
  }

  /// Whether it is here, and not only on its way.
  bool can_read(const kv_key& x) const {
    auto* e = find(x);
    return e && e->what == state::whole;
  }

  /// Of a chain's blocks, in order, how many can be read from the first on.
  uint32_t num_found(std::span<const kv_block> chain) const;

  /// These were wanted just now, and with them all before them.
  void touch(const kv_key& last);

  /// A slot for `x`, whose block that is there is forgotten; nothing if `x` is
  /// known, or on its way, or every slot is in use.
  std::optional<uint64_t> begin_write(const kv_block& x);

  /// `ok`: from now on it is found, unless it was dropped or abandoned. Returns
  /// whether it is.
  bool end_write(uint64_t slot, bool ok);

  /// Of a write that may never end: its key may be written elsewhere. The slot
  /// is used again after end_write().
  void abandon(uint64_t slot);

  /// Nothing if `x` cannot be found.
  std::optional<uint64_t> begin_read(const kv_key& x);

  /// Not `ok`: it is forgotten.
  void end_read(uint64_t slot, bool ok);

  /// It is not found any more, also if it is being written. Returns the slot
  /// that has it; nothing if that is none, or is only being written to.
  std::optional<uint64_t> drop(const kv_key& x);

  /// Adds those of all blocks whose chains pass through one of these. Returns
  /// whether there are any. Looks at all that is here.
  bool add_what_stands_on(kv_key_set& keys) const;

  uint64_t num_slots() const {
    return num_slots_;
  }

  /// That can be found.
  uint64_t num_blocks() const {
    return num_blocks_;
  }

  /// That went since room was wanted.
  uint64_t num_evicted() const {
    return num_evicted_;
  }

private:
  static constexpr uint32_t none = UINT32_MAX;

  enum class state : uint8_t { empty, writing, abandoned, whole, forgotten };

  /// Of a slot. In a ring by age with `ends` as its beginning and end.
  struct entry {
    kv_key key;
    kv_key before;
    uint64_t serial = 0;
    uint32_t depth = 0;
    uint32_t older = none;
    uint32_t newer = none;
    uint32_t num_readers = 0;
    state what = state::empty;
  };

  std::optional<uint32_t> slot_to_use(const kv_key& before);
  void link(uint32_t slot);
  void unlink(uint32_t slot);
  void forget(uint32_t slot);
  void make_empty(uint32_t slot);
  const entry* find(const kv_key& x) const;

  uint64_t num_slots_;
  uint64_t num_blocks_ = 0;
  uint64_t num_evicted_ = 0;
  std::vector<entry> entries_; ///< Of slots that were ever used.
  std::vector<uint32_t> empty_;
  std::unordered_map<kv_key, uint32_t, kv_key_hash> slot_of_;
  uint32_t oldest_ = none;
  uint32_t newest_ = none;
};

} // namespace troupe
