#pragma once

/// What the schedulers of a node and its keeper say to each other: a part of
/// the conversation in protocol.hpp.

#include "actors/caf.hpp"
#include "kernels/device.hpp"
#include "runtime/dispatch/placement.hpp"
#include "runtime/kv_store/kv_store.hpp"

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace troupe {

// -- to the scheduler ---------------------------------------------------------

/// Nobody reads these blocks any more that you wanted to be kept.
struct blocks_let_go {
  std::vector<uint32_t> blocks;
};

/// Of the blocks of your fetch_chain the first `count` will be told of, each
/// once, by block_fetched.
struct chain_found {
  uint64_t fetch = 0;
  uint32_t count = 0;
};

/// A block of that fetch: answer with land_block, unless there is none.
struct block_fetched {
  uint64_t fetch = 0;
  uint32_t index = 0;
  kernels::host_ptr bytes; ///< Null: it does not come.
  bool is_kept = false;    ///< It stays wherever blocks do that are read.
};

/// What you sent with land_block stands in its block.
struct block_landed {
  uint64_t fetch = 0;
  uint32_t index = 0;
  bool ok = true;
};

/// You have waited long enough for that fetch.
struct fetch_overdue {
  uint64_t fetch = 0;
};

// -- to the keeper ------------------------------------------------------------

/// A block of a rank's cache, and what it is.
struct known_block {
  uint32_t block = 0;
  kv_block what;
};

/// Keep these, if there is room for them on their way; answer with
/// blocks_let_go. Until then nobody writes to them. Those that are kept already
/// are of use.
struct keep_blocks {
  rank_id rank = 0;
  std::vector<known_block> blocks;
};

/// Blocks with these keys are of no use to anybody, nor are those that stand on
/// them: forget them.
struct drop_blocks {
  std::vector<kv_key> keys;
};

/// It stands in host memory.
struct block_copied {
  rank_id rank = 0;
  uint32_t block = 0;
  std::optional<uint64_t> slot;    ///< Of kv_memory, where it stays.
  std::optional<kv_ticket> ticket; ///< Or of the disk, where it goes.
  kernels::host_ptr bytes;
  bool ok = true;
};

/// Nobody reads what stands there any more.
struct memory_read {
  uint64_t slot = 0;
};

/// From a thread of the store.
struct block_written {
  kv_ticket ticket;
  std::string failure;     ///< Empty: well.
  bool passes = false;     ///< The next one may be written nonetheless.
  bool is_dropped = false; ///< It was not begun.
};

/// Look for these, one behind the other; answer with chain_found. Computing
/// them would take `seconds` in all; 0: unknown.
struct fetch_chain {
  rank_id rank = 0;
  uint64_t fetch = 0;
  std::shared_ptr<const std::vector<kv_block>> chain;
  double seconds = 0;
  std::shared_ptr<const std::atomic<bool>> is_wanted; ///< Still.
};

/// From a thread of the store.
struct block_read {
  uint64_t serial = 0;
  kv_outcome how = kv_outcome::failed;
  double seconds = 0; ///< It took.
  kernels::host_ptr bytes;
  std::optional<uint64_t> slot = {}; ///< Of kv_memory, where it stays.
};

/// Copy this into the block of your rank; answer with block_landed.
struct land_block {
  rank_id rank = 0;
  uint64_t fetch = 0;
  uint32_t index = 0;
  uint32_t block = 0;
  kernels::host_ptr bytes;
};

/// From a thread of the store: what was found when it was opened.
struct store_opened {
  std::shared_ptr<kv_store> store;
  std::string failure; ///< Empty: well.
};

/// There is host memory again for blocks on their way.
struct buffer_freed {};

} // namespace troupe

TROUPE_MESSAGE(troupe::blocks_let_go)
TROUPE_MESSAGE(troupe::chain_found)
TROUPE_MESSAGE(troupe::block_fetched)
TROUPE_MESSAGE(troupe::block_landed)
TROUPE_MESSAGE(troupe::fetch_overdue)
TROUPE_MESSAGE(troupe::keep_blocks)
TROUPE_MESSAGE(troupe::drop_blocks)
TROUPE_MESSAGE(troupe::block_copied)
TROUPE_MESSAGE(troupe::memory_read)
TROUPE_MESSAGE(troupe::block_written)
TROUPE_MESSAGE(troupe::fetch_chain)
TROUPE_MESSAGE(troupe::block_read)
TROUPE_MESSAGE(troupe::land_block)
TROUPE_MESSAGE(troupe::store_opened)
TROUPE_MESSAGE(troupe::buffer_freed)
