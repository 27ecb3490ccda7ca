#pragma once

/// Takes the blocks of requests that another rank computes and this one goes on
/// with: a part of the scheduler's actor, which hands on what concerns it. They
/// become blocks of the rank's cache as they come, and are held until their
/// request does, or for a while. A request that comes before the last of its
/// blocks waits here, but not for long; then it is let in with what has come,
/// and the rest is computed.
///
///     offer_blocks --want_blocks--> taking --all are there--> held --> over
///                                       \--the request--> waits --/

#include "actors/cast.hpp"
#include "runtime/batching/chain_fetch.hpp"
#include "runtime/transfer/transfer_target.hpp"

#include <map>

namespace troupe {

class block_taker {
public:
  /// Of the rank of `self`, which outlives this.
  block_taker(local_scheduler::pointer self, const node_context& context,
              std::shared_ptr<node_parts> parts, rank_parts& rank);

  /// Asks for what the cache lacks; `msg.of` is a request that makes sense.
  void take(const offer_blocks& msg);

  /// Called with tokens that are still to come: the seconds that computing them
  /// would take, from the token before them on; 0: unknown.
  using estimate = std::function<double(uint32_t first, uint32_t count)>;

  /// Whether `msg`, which this rank is to go on with, waits here for blocks.
  bool begin(const run_request& msg, const estimate& seconds_for);

  /// Who waits no more after these, to be let in; nothing: nobody.
  using arrival = std::optional<run_request>;

  /// Who runs may each need one of `reserve` blocks.
  arrival take(const piece_came& msg, uint32_t reserve);
  arrival take(const piece_landed& msg);
  arrival take(const offer_ended& msg);
  arrival take(const wait_overdue& msg);

  /// Whether this request waited here under that term; it does no more. Under
  /// the term of who computes its beginning: it does not come.
  arrival cancel(const cancel_request& msg);

  /// That process is gone. Nobody waits for it any more.
  std::vector<run_request> lose(const node_lost& msg);

  /// Looks after the deadlines of what nobody waits for.
  void check();

  /// Requests that wait here.
  uint32_t num_waiting() const;

  /// What is to be told of who was begun last, and when.
  const wait_overdue& overdue() const {
    return overdue_;
  }

  std::chrono::milliseconds patience() const {
    return patience_;
  }

private:
  /// A block some of whose bytes have come.
  struct landing {
    uint32_t block = 0;
    uint64_t num_bytes = 0;
    uint64_t num_early = 0;  ///< Of these, before the request came.
    bool is_dropped = false; ///< Nothing more is written to it.
  };

  struct visit {
    request_id request = 0;
    uint32_t term = 0;       ///< Of who computes it.
    size_t num_answered = 0; ///< Tokens, as it was offered.
    rank_id from = 0;
    uint64_t incarnation = 0; ///< Of its node.
    std::unique_ptr<chain_fetch> of;
    std::unique_ptr<transfer_target> course; ///< Null: nothing was missing.
    std::map<uint32_t, landing> landings;    ///< By chunk.
    arrival who;
    bool is_closed = false; ///< What still comes is of no use.
    clock::instant heard = {};
    clock::instant first = {}; ///< The first bytes came.
    clock::instant last = {};  ///< The last block was in its place.
    clock::instant came = {};  ///< Its request did.
  };

  using visits = std::map<uint64_t, visit>; ///< By transfer.

  bool is_on() const;
  bool comes_late(const offer_blocks& msg) const;
  bool is_new(const offer_blocks& msg, const visit& known) const;
  clock::instant now() const;
  uint64_t block_bytes() const;
  visits::iterator find(request_id request);
  bool has_come(const visit& x) const;
  void write(uint64_t id, visit& x, const piece_came& msg, uint32_t chunk);
  std::optional<uint32_t> block_for(visit& x, uint32_t chunk, uint32_t reserve);
  void refuse(visit& x, uint32_t chunk);
  void drop_parts(visit& x);
  void tell_landed(uint64_t id, uint32_t chunk, bool is_whole);
  void close(visit& x, transfer_end how);
  void tell_of(const visit& x) const;
  arrival let_in(visits::iterator i);
  arrival look_after(visits::iterator i);
  void forget_if_over(visits::iterator i);

  local_scheduler::pointer self_;
  const node_context context_;
  const std::shared_ptr<node_parts> parts_;
  rank_parts& rank_;
  visits visits_;
  uint64_t last_ = 0;
  std::map<request_id, uint32_t> begun_; ///< The latest, and their terms.
  wait_overdue overdue_;
  std::chrono::milliseconds patience_{0};
};

} // namespace troupe
