#pragma once

/// The half of a transfer that reads. A chunk may be sent once it is ready here
/// and granted there, in ascending order, within the window and the rate:
///
///     waiting --next--> read --sent--> on its way --landed--> landed
///      ^ |  ^                              | damaged
///      | |  +------------------------------+
///      | +--next--> read --+   a beginning of it, while it is not ready
///      +-------sent--------+
///
/// What has grown of a chunk that is not ready yet may leave before, those of
/// which the least has left first: only when nothing that is ready is left to
/// be sent. So of a chunk that is ready a rest leaves, in one piece.
///
/// Its memory is read from next() to sent(), also behind the end.

#include "runtime/transfer/transfer.hpp"

#include <optional>
#include <vector>

namespace troupe {

class transfer_source {
public:
  using instant = clock::instant;

  /// num_chunks > 0.
  transfer_source(transfer_key key, uint32_t num_chunks, uint64_t chunk_bytes,
                  const transfer_limits& limits, instant now);

  const transfer_key& key() const {
    return key_;
  }

  /// Chunks before `end` have what they are to have, and change no more.
  void make_ready(uint32_t end, instant now);

  /// The first bytes of a chunk, not all of them, have what they are to have,
  /// and do not change until it is withdrawn.
  void grow(uint32_t chunk, uint64_t bytes);

  /// Of a chunk that is not ready nothing more is to be read at present.
  void withdraw(uint32_t chunk);

  /// The target has memory for chunks before `end`.
  void grant(const transfer_key& key, uint32_t end, instant now);

  /// Returns what is to be sent now, if there is anything: what is ready, else,
  /// if `early`, what has grown.
  std::optional<transfer_piece> next(instant now, bool early = true);

  /// When next() may have one that only the rate holds back.
  std::optional<instant> wakes_at() const;

  /// What next() told of it is read no more.
  void sent(uint32_t chunk);

  /// The target has it.
  void landed(const transfer_key& key, uint32_t chunk, instant now);

  /// It came damaged.
  void damaged(const transfer_key& key, uint32_t chunk, instant now);

  /// Ends it, unless it has ended. Not `none`, not `completed`.
  void finish(transfer_end how);

  /// Ends it if the target owes a word for too long.
  void check_lease(instant now);

  transfer_end end() const {
    return end_;
  }

  /// Chunks whose memory is being read.
  uint32_t num_read() const {
    return num_read_;
  }

  uint32_t num_landed() const {
    return num_landed_;
  }

  /// Of them, whether this one's is.
  bool is_read(uint32_t chunk) const {
    return chunk < chunks_.size() && chunks_[chunk].is_read;
  }

  /// Chunks that have left and of which nothing has been heard.
  uint32_t num_on_their_way() const {
    return num_out_;
  }

private:
  struct chunk_state {
    bool is_read = false;
    bool is_out = false; ///< From its rest's next() until its target speaks.
    bool has_landed = false;
    uint32_t tries = 0;
    uint64_t grown = 0; ///< Bytes that may leave before it is ready.
    uint64_t left = 0;  ///< Bytes that next() has told of.
    uint64_t rest = 0;  ///< Of these, those since it is ready.
  };

  bool is_current(const transfer_key& key, uint32_t chunk) const;
  std::optional<transfer_piece> first_waiting(bool early = true) const;
  std::optional<transfer_piece> least_grown() const;

  const transfer_key key_;
  const uint64_t chunk_bytes_;
  const transfer_limits limits_;
  std::vector<chunk_state> chunks_;
  transfer_end end_ = transfer_end::none;
  uint32_t ready_ = 0;      ///< Chunks before it are.
  uint32_t granted_ = 0;    ///< Likewise.
  uint32_t first_open_ = 0; ///< All before it have landed.
  uint32_t end_grown_ = 0;  ///< None from here on has grown.
  uint64_t early_out_ = 0;  ///< Bytes that have left of chunks not ready.
  uint64_t rests_out_ = 0;  ///< Of chunks on their way, what left last.
  uint32_t num_read_ = 0;
  uint32_t num_out_ = 0;
  uint32_t num_landed_ = 0;
  instant heard_;   ///< The target's last word, or when it began to owe one.
  instant allowed_; ///< By the rate.
};

} // namespace troupe
