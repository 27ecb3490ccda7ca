#pragma once

/// Every message that actors exchange and the interface of every actor.
/// Reading this file from top to bottom is listening to the conversation.
///
/// Messages are imperatives (run_step) or past facts (rows_returned). They
/// carry intent; rows of tokens travel as frames and are only named here.

#include "actors/caf.hpp"
#include "actors/handed_blocks.hpp"
#include "actors/kept_blocks.hpp"
#include "actors/leaving_nodes.hpp"
#include "actors/placing.hpp"
#include "runtime/batching/batcher.hpp"
#include "runtime/clock.hpp"
#include "runtime/cluster/cluster_state.hpp"
#include "runtime/cluster/counters.hpp"
#include "runtime/cluster/membership.hpp"
#include "runtime/cluster/node_parts.hpp"
#include "runtime/cluster/part_loads.hpp"
#include "runtime/dispatch/answer_collector.hpp"
#include "runtime/dispatch/dispatch_key.hpp"
#include "runtime/dispatch/expert_slots.hpp"
#include "runtime/dispatch/placement.hpp"
#include "runtime/dispatch/rows_fault.hpp"
#include "runtime/dispatch/slab.hpp"
#include "runtime/service.hpp"
#include "runtime/transfer/transfer.hpp"
#include "runtime/transport/transport.hpp"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace troupe {

// -- every actor --------------------------------------------------------------

/// The controller's verdict: this process is gone and does not come back. Said
/// late it is not about a successor.
struct node_lost {
  node_id node = 0;
  uint64_t incarnation = 0; ///< Never 0.
  std::string name;
  std::string why;
  /// It was told to end, or has never come. Known on node 0 alone.
  bool has_left = false;
};

/// The controller's word: this process serves in the place of one that was
/// lost, and everybody is connected to it.
struct node_back {
  node_id node = 0;
  uint64_t incarnation = 0; ///< Never 0.
  std::string name;
};

/// Look after your deadlines. Sent by the supervisor a few times a second.
struct tick {};

/// The cluster ends.
struct shut_down {};

// -- scheduler: decides what runs next on its rank ----------------------------

/// Queue this request. `rank` tells a peer whom it is for.
struct run_request {
  request_id request = 0;
  uint32_t term = 0; ///< Comes back with every token.
  unit_id unit = 0;
  rank_id rank = 0;
  std::shared_ptr<const generation_request> what;
  std::vector<int32_t> answered; ///< What its answer has already.
  /// Who goes on behind the next token, which ends what you have to do; nobody:
  /// it is yours to its end.
  std::optional<rank_id> next = std::nullopt;
};

/// Forget this request and free its blocks within one step. Of another term:
/// it is not meant.
struct cancel_request {
  request_id request = 0;
  rank_id rank = 0;
  uint32_t term = 0;
  /// Who goes on with it needs the blocks that you have given.
  bool is_passed_on = false;
};

/// The step that you sent for this lane has ended.
struct step_ended {
  uint8_t lane = 0;
  std::shared_ptr<step_result> result; ///< The scheduler's alone from now on.
  std::optional<failure> cause;        ///< Then there is no result.
  bool again = false; ///< With a cause: it is gone, and may be tried again.
  clock::instant::duration away = {}; ///< It waited for rows of other nodes.
  std::optional<timed_stages> stages = {}; ///< If you wanted them timed.
};

// From a rank that hands a request over to the one that goes on with it, and
// back; see block_giver.hpp and block_taker.hpp.

/// A request will be yours that I compute, as I was asked to: if you want the
/// blocks of its beginning that you lack, answer with want_blocks.
struct offer_blocks {
  rank_id rank = 0; ///< You.
  rank_id from = 0; ///< I.
  run_request of;
};

/// Send me `count` blocks of the beginning of that request, from `first` on, as
/// they become known: in bulk frames of this transfer, whose generation is the
/// term. Each will be answered with block_taken. 0: I want none.
struct want_blocks {
  rank_id rank = 0; ///< You.
  rank_id by = 0;   ///< I.
  request_id request = 0;
  uint32_t term = 0; ///< Yours.
  uint64_t transfer = 0;
  uint32_t first = 0;
  uint32_t count = 0;
};

/// A block has come; or, unless `goes_on`, I want none of this transfer any
/// more.
struct block_taken {
  rank_id rank = 0; ///< You.
  transfer_key key;
  uint32_t chunk = 0;
  bool goes_on = true;
};

/// That request will not be yours: it has ended, or I cannot go on.
struct offer_ended {
  rank_id rank = 0; ///< You.
  request_id request = 0;
  uint32_t term = 0; ///< Mine.
};

/// Go on with this request, and offer its blocks to that rank, which may go on
/// with it before long; answer with request_copied. To yourself: that is given
/// up, and it stays; of the two the first is answered.
struct move_request {
  request_id request = 0;
  rank_id rank = 0; ///< You.
  uint32_t term = 0;
  rank_id to = 0;
};

/// A grammar that was not compiled is, or a mask that was not made; by a thread
/// beside.
struct grammar_ready {};

using scheduler
  = reacts_to<run_request, cancel_request, move_request, offer_blocks,
              want_blocks, block_taken, offer_ended>;
/// What its own node may tell it, too.
using local_scheduler = scheduler::extend<
  caf::reacts_to<step_ended>, caf::reacts_to<blocks_let_go>,
  caf::reacts_to<chain_found>, caf::reacts_to<block_fetched>,
  caf::reacts_to<block_landed>, caf::reacts_to<fetch_overdue>,
  caf::reacts_to<layers_written>, caf::reacts_to<block_left>,
  caf::reacts_to<buffer_freed>, caf::reacts_to<piece_came>,
  caf::reacts_to<piece_landed>, caf::reacts_to<wait_overdue>,
  caf::reacts_to<grammar_ready>, caf::reacts_to<node_lost>,
  caf::reacts_to<tick>>;

// -- attention: runs the stages of one data-parallel rank ---------------------

/// Run this step; answer with step_ended. One at a time in each lane.
struct run_step {
  std::shared_ptr<const planned_step> what;
  bool overlaps = false; ///< Others may compute while its rows are away.
  /// Say layers_written as it goes on.
  bool tells_layers = false;
  bool times_stages = false; ///< Say what they took.
  /// Up to there somebody reads what it writes to. Empty: nobody does.
  kernels::event behind = {};
};

/// The stream has come to the end of what was enqueued for this serial.
struct stage_ended {
  uint32_t serial = 0;
  std::string failure; ///< Empty: well.
};

/// A combine frame: answers have come back.
struct rows_returned {
  dispatch_key of;
  node_id from = 0;
  body slab; ///< See answer_slab.
};

/// Of your dispatch a worker cannot run its rows, or a node a whole slab: the
/// answers that are missing will not come.
struct rows_refused {
  static constexpr worker_id whole_slab = 0xffff;

  dispatch_key of;
  worker_id worker = whole_slab;
  rows_fault why = rows_fault::damaged_slab;
};

using attention = reacts_to<stage_ended, rows_returned, rows_refused, run_step,
                            placement_published, experts_given_up, node_lost,
                            node_back, tick>;

// -- keeper: keeps blocks of its node's ranks ---------------------------------

/// What it hears stands in actors/kept_blocks.hpp.
using keeper = reacts_to<keep_blocks, drop_blocks, block_copied, memory_read,
                         block_written, fetch_chain, block_read, land_block,
                         store_opened, buffer_freed, tick>;

// -- expert worker: holds the physical experts of one device ------------------

/// A section of a dispatch slab. Answer its rank with combine frames, or with
/// rows_refused.
struct rows_arrived {
  dispatch_key of;
  node_id from = 0;
  uint64_t incarnation = 0; ///< Of the process that asks: nobody else is meant.
  body slab;
  std::shared_ptr<const slab_view> view; ///< Into `slab`.
  uint32_t section = 0;                  ///< Index into view->sections.
  /// Where its answers go, with those of the other sections.
  std::shared_ptr<answer_collector> answers;

  const slab_section& rows() const {
    return view->sections[section];
  }
};

/// Pairs [from, from + count) of a section that are run together with others.
struct rows_in_run {
  rows_arrived msg;
  uint32_t from = 0;
  uint32_t count = 0;
};

/// The grouped run that you wait for is computed, and its answers are being
/// copied; or one has failed.
struct run_ended {
  std::string failure = {}; ///< Empty: well.
  /// Of a run that has failed: what it was to answer.
  std::shared_ptr<const std::vector<rows_in_run>> rows = {};
};

/// There may be room now for the answers that you could not hold.
struct room_made {};

using expert_worker
  = reacts_to<rows_arrived, run_ended, change_slots, experts_loaded,
              slots_unused, node_lost, room_made>;

// -- gateway: the commit point of every request -------------------------------

/// A request that the front end has checked and opened.
struct accept_request {
  request_id request = 0;
  std::shared_ptr<const generation_request> what;
};

/// The client has gone.
struct client_gone {
  request_id request = 0;
};

/// Tokens of a request, and perhaps its end.
struct tokens_ready {
  request_id request = 0;
  uint32_t term = 0;
  std::shared_ptr<const generation_event> event;
};

/// Of a move_request: that rank has what was full of the request's blocks; or,
/// unless `ok`, does not get it.
struct request_copied {
  request_id request = 0;
  uint32_t term = 0;
  rank_id to = 0;
  bool ok = true;
};

/// Look whether requests should be moved to other ranks; to yourself.
struct load_due {};

/// The counters of a node.
struct node_report {
  node_id node = 0;
  counts values{};
  transport_stats network;
  std::shared_ptr<const part_loads> loads = {}; ///< Null: not this time.
  uint64_t incarnation = 0;                     ///< Of who says so.
};

/// Every node is connected: serve.
struct cluster_started {};

/// What that process has reported is what it had; the controller says so.
struct process_over {
  node_id node = 0;
  uint64_t incarnation = 0;
};

using gateway
  = reacts_to<process_over, tokens_ready, accept_request, client_gone,
              node_report, node_lost, node_back, node_leaving,
              placement_published, experts_given_up, experts_balanced,
              cluster_started, shut_down, tick, request_copied, load_due>;
/// What schedulers and supervisors need of it, near or far.
using gateway_inbox = reacts_to<tokens_ready, node_report, request_copied>;

// -- controller: the one writer of view and epoch -----------------------------

/// A node has met us and proved that it knows the secret.
struct node_joined {
  node_id node = 0;
  member who;
};

/// What a node computes with, part by part: before it loads its weights, then
/// that they are in place.
struct node_loaded {
  node_id node = 0;
  numerics what;
  uint64_t incarnation = 0; ///< Of who says so.
};

/// Every tensor of the controller's own model has been read.
struct model_known {
  std::shared_ptr<const digest_table> digests;
};

/// It holds a connection to everyone in this view.
struct node_connected {
  node_id node = 0;
  uint32_t view = 0;
  uint64_t incarnation = 0; ///< Of who says so.
};

/// Evidence that a process is gone, from its connection or from another node.
struct node_suspected {
  node_id by = 0; ///< Who says so.
  node_id node = 0;
  uint64_t incarnation = 0; ///< Never 0.
  std::string why;
  uint64_t by_incarnation = 0; ///< Of who says so.
};

/// What came of a write of the cluster's state; see actors/kept_state.hpp.
struct state_kept {
  uint64_t number = 0;                       ///< Of the write.
  std::optional<failure> why;                ///< Nothing: it is kept.
  std::shared_ptr<const cluster_state> last; ///< That is kept; null: none.
  bool is_over = true; ///< Or it goes on, and takes too long.
};

/// Nothing is kept any more after this but what is waiting for it. `done` hears
/// when that is over, for good or ill.
struct keep_rest {
  std::shared_ptr<const std::function<void()>> done;
};

/// What it hears of who leaves stands in actors/leaving_nodes.hpp.
using controller
  = reacts_to<node_joined, node_loaded, model_known, node_connected,
              node_suspected, placement_published, drain_node, undrain_node,
              leaving_progress, state_kept, keep_rest, shut_down, tick>;

// -- placer: the one writer of placements, beside the controller --------------

using placer = reacts_to<change_placement, slots_changed, placement_taken,
                         node_lost, node_back, node_leaving, tick>;

// -- balancer: asks the placer for changes, beside it -------------------------

using balancer
  = reacts_to<node_report, experts_planned, placement_changed, cluster_started,
              node_lost, node_back, node_leaving, tick>;

// -- supervisor: one per node; spawns its children, gives up without them -----

/// Who you are. Load your parts, then answer with node_loaded.
struct welcome {
  node_id node = 0;
  std::string topology; ///< TOML
  std::string model_dir;
  /// The cluster serves already: the loss of others is not the end of yours.
  bool is_running = false;
  /// What the cluster begins with; null: what follows from the topology.
  std::shared_ptr<const placements_of_units> placed = {};
};

/// From the loading thread.
struct parts_loaded {
  std::shared_ptr<node_parts> parts;
  std::optional<failure> cause;
};

/// A device has failed, and with it a rank or a worker for good: its node is of
/// no use any more.
struct part_failed {
  std::string why; ///< One sentence that names the part.
};

/// The members, as they are from now on. Connect to those that are there, then
/// answer with node_connected.
struct view_published {
  std::shared_ptr<const view> members;
};

/// A connection that we asked for, or that somebody asked of us, stands.
struct peer_joined {
  node_id node = 0;
  member who;
};

/// A connection is gone.
struct peer_gone {
  node_id node = 0;
  uint64_t incarnation = 0;
  std::string why;
};

/// A connection that we asked for could not be made, or was refused.
struct peer_missed {
  node_id node = 0;
  failure why;
};

using supervisor = reacts_to<welcome, parts_loaded, part_failed, view_published,
                             peer_joined, peer_gone, peer_missed, node_lost,
                             node_back, cluster_started, shut_down, tick>;

// -- peer: one per remote node; turns messages into frames and back -----------

/// A control frame from that node.
struct control_arrived {
  node_id from = 0;
  body message;
};

/// Everything that may be said to another node.
using peer
  = reacts_to<tokens_ready, control_arrived, run_request, cancel_request,
              move_request, request_copied, offer_blocks, want_blocks,
              block_taken, offer_ended, rows_refused, node_report, node_loaded,
              node_connected, node_suspected, welcome, view_published,
              placement_published, placement_taken, change_slots, slots_changed,
              experts_given_up, node_lost, node_back, cluster_started,
              shut_down>;

} // namespace troupe

TROUPE_MESSAGE(troupe::node_lost)
TROUPE_MESSAGE(troupe::node_back)
TROUPE_MESSAGE(troupe::tick)
TROUPE_MESSAGE(troupe::run_request)
TROUPE_MESSAGE(troupe::cancel_request)
TROUPE_MESSAGE(troupe::move_request)
TROUPE_MESSAGE(troupe::request_copied)
TROUPE_MESSAGE(troupe::load_due)
TROUPE_MESSAGE(troupe::offer_blocks)
TROUPE_MESSAGE(troupe::want_blocks)
TROUPE_MESSAGE(troupe::block_taken)
TROUPE_MESSAGE(troupe::offer_ended)
TROUPE_MESSAGE(troupe::step_ended)
TROUPE_MESSAGE(troupe::run_step)
TROUPE_MESSAGE(troupe::stage_ended)
TROUPE_MESSAGE(troupe::rows_returned)
TROUPE_MESSAGE(troupe::rows_refused)
TROUPE_MESSAGE(troupe::rows_arrived)
TROUPE_MESSAGE(troupe::run_ended)
TROUPE_MESSAGE(troupe::room_made)
TROUPE_MESSAGE(troupe::accept_request)
TROUPE_MESSAGE(troupe::client_gone)
TROUPE_MESSAGE(troupe::tokens_ready)
TROUPE_MESSAGE(troupe::node_report)
TROUPE_MESSAGE(troupe::process_over)
TROUPE_MESSAGE(troupe::cluster_started)
TROUPE_MESSAGE(troupe::node_joined)
TROUPE_MESSAGE(troupe::node_loaded)
TROUPE_MESSAGE(troupe::model_known)
TROUPE_MESSAGE(troupe::node_connected)
TROUPE_MESSAGE(troupe::node_suspected)
TROUPE_MESSAGE(troupe::state_kept)
TROUPE_MESSAGE(troupe::keep_rest)
TROUPE_MESSAGE(troupe::welcome)
TROUPE_MESSAGE(troupe::parts_loaded)
TROUPE_MESSAGE(troupe::part_failed)
TROUPE_MESSAGE(troupe::view_published)
TROUPE_MESSAGE(troupe::peer_joined)
TROUPE_MESSAGE(troupe::peer_gone)
TROUPE_MESSAGE(troupe::peer_missed)
TROUPE_MESSAGE(troupe::shut_down)
TROUPE_MESSAGE(troupe::control_arrived)
