#pragma once

/// The half of a transfer that reads. A chunk may be sent once it is ready here
/// and granted there, in ascending order, within the window and the rate:
///
///     waiting --next--> read --sent--> on its way --landed--> landed
///        ^                                 | damaged
///        +---------------------------------+
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

  /// The target has memory for chunks before `end`.
  void grant(const transfer_key& key, uint32_t end, instant now);

  /// Returns a chunk that is to be sent now, if there is one.
  std::optional<uint32_t> next(instant now);

  /// When next() may have one that only the rate holds back.
  std::optional<instant> wakes_at() const;

  /// It is read no more.
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

  /// Chunks that have left and of which nothing has been heard.
  uint32_t num_on_their_way() const {
    return num_out_;
  }

private:
  struct chunk_state {
    bool is_read = false;
    bool is_out = false; ///< From next() until the target speaks of it.
    bool has_landed = false;
    uint32_t tries = 0;
  };

  bool is_current(const transfer_key& key, uint32_t chunk) const;
  std::optional<uint32_t> first_waiting() const;

  const transfer_key key_;
  const uint64_t chunk_bytes_;
  const transfer_limits limits_;
  std::vector<chunk_state> chunks_;
  transfer_end end_ = transfer_end::none;
  uint32_t ready_ = 0;      ///< Chunks before it are.
  uint32_t granted_ = 0;    ///< Likewise.
  uint32_t first_open_ = 0; ///< All before it have landed.
  uint32_t num_read_ = 0;
  uint32_t num_out_ = 0;
  uint32_t num_landed_ = 0;
  instant heard_;   ///< The target's last word, or when it began to owe one.
  instant allowed_; ///< By the rate.
};

} // namespace troupe
