#pragma once

/// Blocks of the latent cache that are full and may be used again: by any later
/// request that begins with the same tokens, attending in the same forms, for
/// the same tenant. What a block holds follows from these alone, to the bit, so
/// a hit changes no token.
///
/// A full block is found by what it is and by the block before it; both are
/// compared, not only their hashes. A block that nobody else refers to is
/// *idle*: it stays until its memory is wanted, the one that has been idle
/// longest first. Of a sequence the last blocks are to be released first, so
/// that beginnings, which others share, stay longest.
///
/// If it is told of an identity (runtime/kv_store/kv_key.hpp), its blocks have
/// names beyond this process, too, and it says which have become known.
///
/// A plain class: no clock, one thread.

#include "runtime/kv_store/kv_key.hpp"
#include "runtime/model/kv_pool.hpp"

#include <array>
#include <list>
#include <string>
#include <unordered_map>
#include <utility>

namespace troupe {

/// What a full block holds.
struct block_content {
  static constexpr uint32_t num_tokens = kernels::latent_cache::block_tokens;

  /// The block before it, as prefix_cache names it; 0: it is the first.
  uint64_t before = 0;
  std::string salt; ///< The tenant's; of a first block alone.
  std::array<int32_t, num_tokens> tokens = {};
  uint64_t multi_head = 0; ///< Bit i: the form of attention of tokens[i].

  friend bool operator==(const block_content&, const block_content&) = default;
};

static_assert(block_content::num_tokens <= 64, "a bit for each token");

/// Where a block stands, as it is known beyond this process.
struct chain_place {
  kv_key before; ///< Of a first block the root.
  uint32_t depth = 0;
};

class prefix_cache {
public:
  /// `pool` outlives this and is this one's alone. Remembers nothing unless
  /// `is_on`.
  explicit prefix_cache(kv_pool& pool, bool is_on = true);
  prefix_cache(const prefix_cache&) = delete;
  prefix_cache& operator=(const prefix_cache&) = delete;
  ~prefix_cache();

  /// From now on known blocks have keys. Before any is known.
  void keep_keys(const kv_key& identity);

  bool keeps_keys() const {
    return chain_.has_value();
  }

  /// What names blocks; only if this keeps keys.
  const kv_chain& chain() const {
    return *chain_;
  }

  /// Of a block that is known; only if this keeps keys.
  const kv_key& key_of(uint32_t block) const {
    return keys_[block].key;
  }

  /// A block that is known as it is known elsewhere; likewise.
  kv_block described(uint32_t block) const;

  /// Blocks that have become known since this was asked last, and still are.
  std::vector<uint32_t> take_fresh();

  /// Takes a block that is free or idle, with one reference; nothing if all
  /// are held.
  std::optional<uint32_t> take();

  /// Gives one reference back.
  void release(uint32_t block);

  struct entry {
    uint64_t name = 0; ///< Of this content; never used again.
    uint32_t block = 0;
  };

  std::optional<entry> find(const block_content& x) const;

  /// Whether what was found once can still be.
  bool has(const entry& x) const {
    return known_[x.block].name == x.name;
  }

  /// One more reference to a block that was found, or that somebody holds.
  void hold(uint32_t block);

  /// `block`, which the caller holds, has `x` and is written no more. Returns
  /// the name of the content, which another block may have had before: then
  /// that one stays. 0 if this is off. `at` is needed if this keeps keys;
  /// `is_fresh`: take_fresh() is to tell of it.
  uint64_t seal(const block_content& x, uint32_t block,
                const chain_place& at = {}, bool is_fresh = true);

  /// What a block has, which can be found, cannot be from now on.
  void forget(uint32_t block);

  /// The same, and it is of no use to anybody anywhere: see take_spoilt().
  void spoil(uint32_t block);

  /// Keys of blocks that were spoilt since this was asked last.
  std::vector<kv_key> take_spoilt() {
    return std::exchange(spoilt_, {});
  }

  bool is_on() const {
    return is_on_;
  }

  /// Blocks that can be taken.
  uint32_t num_available() const {
    return pool_.num_free() + num_idle();
  }

  uint32_t num_idle() const {
    return static_cast<uint32_t>(idle_.size());
  }

  bool is_idle(uint32_t block) const {
    return known_[block].is_idle;
  }

  /// Whether it can be found: then nobody writes to it any more.
  bool is_known(uint32_t block) const {
    return known_[block].content != nullptr;
  }

  /// Blocks that can be found.
  uint32_t num_known() const {
    return static_cast<uint32_t>(entries_.size());
  }

  uint32_t num_blocks() const {
    return pool_.num_blocks();
  }

private:
  struct hash {
    size_t operator()(const block_content& x) const;
  };

  /// Of a block.
  struct knowledge {
    const block_content* content = nullptr; ///< Null: it cannot be found.
    uint64_t name = 0;                      ///< Of the content; 0 without.
    bool is_idle = false;
    std::list<uint32_t>::iterator place = {}; ///< In idle_, if it is.
  };

  /// Of a block that is known, beyond this process.
  struct outer_name {
    kv_key key;
    chain_place at;
  };

  kv_pool& pool_;
  const bool is_on_;
  uint64_t last_name_ = 0;
  /// This holds one reference to the block of each.
  std::unordered_map<block_content, entry, hash> entries_;
  std::vector<knowledge> known_;  ///< [blocks]
  std::list<uint32_t> idle_;      ///< Longest first.
  std::optional<kv_chain> chain_; ///< Nothing: keys are not kept.
  std::vector<outer_name> keys_;  ///< [blocks] if they are.
  std::vector<std::pair<uint32_t, uint64_t>> fresh_; ///< Block and its name.
  std::vector<kv_key> spoilt_;
};

} // namespace troupe
