#pragma once

/// Gives blocks to the rank that goes on with a request, as they are computed:
/// a part of the scheduler's actor, which hands on what concerns it.
///
///     begin --offer_blocks--> offered --want_blocks--> giving --> over
///
/// A block is copied out of the device on a stream of its own and leaves in
/// bulk frames, which wait for everything else. Whatever does not get there is
/// computed again: nobody waits here.
///
/// The blocks that a step fills leave layer by layer while it runs, but for
/// their last bytes: those follow once a block can be found here, so that one
/// which does not come to that is never whole elsewhere. A step that begins
/// again writes the same, behind whoever still reads what it has written.
///
/// Of a request that runs here, and may go on elsewhere, what is full is given
/// likewise; the gateway hears of the end of that, and decides.

#include "actors/cast.hpp"
#include "runtime/batching/batcher.hpp"
#include "runtime/batching/chain_offer.hpp"
#include "runtime/pipeline/step_walk.hpp"
#include "runtime/transfer/transfer_source.hpp"

#include <map>

namespace troupe {

class block_giver {
public:
  using copied_handler = std::function<void(const request_copied&)>;

  /// Of the rank of `self`, which outlives this. `on_copied` hears how moves
  /// end.
  block_giver(local_scheduler::pointer self, const node_context& context,
              std::shared_ptr<node_parts> parts, rank_parts& rank,
              copied_handler on_copied);

  /// Offers what there will be of a request that another rank goes on with.
  void begin(const run_request& msg);

  /// Offers what there is of a request that runs here to `what.next`.
  void move(const run_request& what);

  void take(const want_blocks& msg);
  void take(const block_taken& msg);
  void take(const layers_written& msg);
  void take(const block_left& msg);

  /// What `to` runs, as `of` has it, may fill blocks that others want.
  void begin_step(run_step& to, const batcher& of);

  /// It fills them no more.
  void end_step(uint8_t lane);

  /// Sends what there is, if there is memory for it on its way.
  void send();

  /// The rank has done its part of a request: who goes on has a use for what it
  /// has computed, or nobody has. Or it goes on, and does not move after all.
  void end(request_id request, uint32_t term, bool is_passed_on);

  /// Ends moves of requests that do not run at present, so that others have
  /// their blocks. Returns whether there were any.
  bool end_moves(const std::function<bool(request_id, uint32_t)>& runs);

  /// That process is gone.
  void lose(const node_lost& msg);

  /// Looks after the deadlines.
  void check();

private:
  /// A block that the step of a lane fills.
  struct filling {
    uint32_t block = 0; ///< Of the cache.
    uint8_t lane = 0;
  };

  struct offer {
    uint32_t term = 0;
    rank_id to = 0;
    run_request what;                   ///< As it runs here.
    std::unique_ptr<chain_offer> chain; ///< Null: nobody reads it any more.
    uint64_t incarnation = 0; ///< Of the node of `to`, when it was offered.
    uint32_t first = 0;       ///< Of the blocks that are wanted.
    uint32_t count = 0;
    std::unique_ptr<transfer_source> course; ///< Null: nothing is wanted yet.
    std::map<uint32_t, filling> filled;      ///< By their number in the chain.
    bool is_computed = false;                ///< The rank has done its part.
    bool is_move = false;                    ///< It may stay here.
    bool is_awaited = false;                 ///< The gateway is to be told.
    bool has_all = false;                    ///< The other one lacks nothing.
    clock::instant since = {}; ///< It was offered last, or computed.
  };

  using offers = std::map<request_id, offer>;

  bool is_on() const;
  clock::instant now() const;
  node_id node_of(const offer& x) const;
  offer offer_of(const run_request& msg) const;
  bool note(uint8_t lane, const sequence& of, uint32_t first, uint32_t count,
            kernels::event& behind);
  uint64_t bytes_written(uint8_t lane) const;
  void grow(offer& x);
  void look();
  void tell(offer& x);
  void tell_copied(request_id request, offer& x);
  void finish(offer& x, transfer_end how);
  offers::iterator forget_if_over(offers::iterator i);
  bool send_next(request_id request, offer& x, kernels::host_ptr& bytes,
                 bool early);
  void copy_out(request_id request, const offer& x, const transfer_piece& piece,
                kernels::host_ptr bytes);
  void send(const offer& x, const transfer_piece& piece,
            const kernels::host_ptr& bytes);

  local_scheduler::pointer self_;
  const node_context context_;
  const std::shared_ptr<node_parts> parts_;
  rank_parts& rank_;
  const copied_handler on_copied_;
  offers offers_;
  /// By lane: layers before it are written by its step.
  std::array<uint32_t, step_walk::max_lanes> written_ = {};
};

} // namespace troupe
