#pragma once

/// The half of a transfer that is written to. Every chunk of its memory is in
/// one of these states:
///
///     none --reserve--> reserved --arrived--> written --landed--> landed
///                          |                     |
///                          +------ the end ------+--> quarantined --> free
///
/// What has landed stays the owner's, however it ends. What has not is free
/// again once nobody can write to it any more: the own copies have ended, and
/// if the source writes by itself, it has said that it is done (fence), or a
/// time is over behind which it cannot.

#include "runtime/transfer/transfer.hpp"

#include <vector>

namespace troupe {

/// Who puts bytes into the target's memory.
enum class transfer_writer : uint8_t {
  target, ///< It copies what arrives.
  source, ///< From afar, also when nobody wants it any more.
};

class transfer_target {
public:
  using instant = clock::instant;

  /// num_chunks > 0.
  transfer_target(transfer_key key, uint32_t num_chunks, transfer_writer writer,
                  const transfer_limits& limits, instant now);

  const transfer_key& key() const {
    return key_;
  }

  /// There is memory for `count` chunks more, in ascending order. Returns what
  /// to grant: all chunks before it have some.
  uint32_t reserve(uint32_t count);

  enum class verdict : uint8_t {
    write,   ///< Write it, then say landed().
    known,   ///< It is there, or being written.
    damaged, ///< Ask for it again.
    foreign, ///< Of another generation, or never granted: drop it.
    over,    ///< It has ended: drop it.
  };

  /// Bytes of a chunk have come. `is_intact`: their checksum holds.
  verdict arrived(const transfer_key& key, uint32_t chunk, bool is_intact,
                  instant now);

  /// What arrived is in its memory; also behind the end.
  void landed(uint32_t chunk, instant now);

  /// The source lives and has no chunk ready.
  void renew(const transfer_key& key, instant now);

  /// Ends it, unless it has ended. Not `none`, not `completed`.
  void finish(transfer_end how, instant now);

  /// The source writes nothing of this generation any more.
  void fence(const transfer_key& key);

  /// Ends it if nothing was heard of the source for too long.
  void check_lease(instant now);

  transfer_end end() const {
    return end_;
  }

  /// Chunks whose memory has become free, each told once.
  std::vector<uint32_t> take_free(instant now);

  struct counts {
    uint32_t reserved = 0;
    uint32_t written = 0;
    uint32_t landed = 0;
    uint32_t quarantined = 0;
    uint32_t free = 0; ///< Told or not.

    uint32_t all() const {
      return reserved + written + landed + quarantined + free;
    }
  };

  /// Of all chunks that were ever reserved.
  counts count() const;

private:
  enum class state : uint8_t {
    none,
    reserved,
    written,
    landed,
    quarantined,
    free,
    told,
  };

  /// Whether somebody else may still write to what has not landed.
  bool is_exposed() const {
    return writer_ == transfer_writer::source && !is_fenced_;
  }

  state state_after_end() const {
    return is_exposed() ? state::quarantined : state::free;
  }

  const transfer_key key_;
  const transfer_writer writer_;
  const transfer_limits limits_;
  std::vector<state> chunks_;
  std::vector<uint32_t> tries_;
  transfer_end end_ = transfer_end::none;
  uint32_t reserved_ = 0; ///< Chunks before it are.
  uint32_t num_landed_ = 0;
  bool is_fenced_ = false;
  instant heard_;
  instant ended_ = {};
};

} // namespace troupe
