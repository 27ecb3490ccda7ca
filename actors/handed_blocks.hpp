#pragma once

/// What a scheduler hears in its own node of blocks that go with requests from
/// rank to rank: a part of the conversation in protocol.hpp.

#include "actors/caf.hpp"
#include "kernels/device.hpp"
#include "runtime/service.hpp"
#include "runtime/transfer/transfer.hpp"
#include "runtime/transport/frame.hpp"

namespace troupe {

/// What the step of that lane writes to the cache is there for the layers
/// before this one.
struct layers_written {
  uint8_t lane = 0;
  uint32_t end = 0;
};

/// A piece of a block that you give stands in host memory.
struct block_left {
  request_id request = 0;
  transfer_key key;
  transfer_piece piece;
  kernels::host_ptr bytes;
  bool ok = true;
};

/// Bytes of a transfer, from `first` on.
struct piece_came {
  uint64_t incarnation = 0; ///< Of the process that sends.
  transfer_key key;
  uint64_t first = 0;
  body bytes;
};

/// The last piece of a block that you take stands in its place; not `ok`:
/// nothing of it comes any more, and it is no block.
struct piece_landed {
  uint64_t transfer = 0;
  uint32_t chunk = 0;
  bool ok = true;
};

/// That request has waited long enough for blocks from another rank.
struct wait_overdue {
  request_id request = 0;
  uint32_t term = 0;
};

} // namespace troupe

TROUPE_MESSAGE(troupe::layers_written)
TROUPE_MESSAGE(troupe::block_left)
TROUPE_MESSAGE(troupe::piece_came)
TROUPE_MESSAGE(troupe::piece_landed)
TROUPE_MESSAGE(troupe::wait_overdue)
