#pragma once

/// Moving numbered chunks of memory from one place to another: blocks of a
/// cache to another rank, experts to another worker. One chunk is what one
/// owner of memory can take, keep or give back. Each end has a half of its own,
/// transfer_source and transfer_target, plain classes that their actors tell
/// what has happened and ask what to do.

#include "runtime/clock.hpp"

#include <compare>
#include <cstdint>

namespace troupe {

/// Names one attempt: a later one of the same transfer has a higher generation,
/// and what names another generation is late or foreign.
struct transfer_key {
  uint64_t transfer = 0;
  uint32_t generation = 0;

  friend auto operator<=>(const transfer_key&, const transfer_key&) = default;
};

/// Bytes of a chunk that leave together. What leaves first begins it.
struct transfer_piece {
  uint32_t chunk = 0;
  uint64_t first = 0; ///< Of the chunk's bytes.
  uint64_t count = 0;

  friend bool operator==(const transfer_piece&, const transfer_piece&)
    = default;
};

/// How it ended.
enum class transfer_end : uint8_t {
  none,        ///< It goes on.
  completed,   ///< Every chunk has landed.
  cancelled,   ///< Nobody wants it any more.
  source_gone, ///< Its process is lost.
  target_gone, ///< Likewise.
  expired,     ///< Nothing was heard of the other end for too long.
  failed,      ///< A chunk came damaged too often, or could not be written.
};

/// As in the enumeration.
const char* to_string(transfer_end x);

struct transfer_limits {
  /// So many chunks' bytes may be on their way once their chunks are ready:
  /// what may wait in front of other frames.
  uint32_t window = 4;
  /// Bytes of chunks that are not ready, which wait at the target for the rest.
  uint64_t early_bytes = 64 << 20;
  uint64_t bytes_per_second = 0; ///< 0: as fast as they are taken.
  /// So long it waits for the other end.
  clock::instant::duration lease = std::chrono::seconds{10};
  /// So long after the end a writer that cannot be stopped may still write.
  clock::instant::duration quarantine = std::chrono::seconds{30};
  uint32_t max_tries = 3; ///< Of one chunk.
};

} // namespace troupe
