#pragma once

/// The decisions about placements of the one who writes them: how one follows
/// another while rows are on their way, and what is loaded again when workers
/// are lost. Events in, actions out; no clock, no I/O.
///
///          ask, or repair      all loaded            all ranks plan with it
///     idle ----------> loading ----------> telling ----------> retiring
///      ^                  | abort                                  |
///      +------------------+----------------------------------------+
///
/// Up to *telling* nothing has happened to anybody but that slots were filled:
/// a change that fails by then leaves the old placement, or what is left of it.
/// From there on it is the placement, and a worker that is lost one that had a
/// part in it. A node that comes back is taken in by a change in which nothing
/// is loaded.

#include "runtime/clock.hpp"
#include "runtime/cluster/leave_plan.hpp"
#include "runtime/cluster/repair_plan.hpp"
#include "runtime/dispatch/placement_change.hpp"

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace troupe {

/// What a worker is told to do for a change, in this order.
enum class slots_step : uint8_t {
  load,   ///< Fill these slots, and say when they are verified. The first.
  drop,   ///< Empty them again: the change is over.
  serve,  ///< This epoch is the newest; these slots are in older ones alone.
  retire, ///< This epoch is the oldest. Say when the slots are empty.
  num_steps,
};

/// What the owner of a placement_writer has to do.
struct writer_action {
  enum class kind : uint8_t {
    instruct, ///< Tell a worker: step, epoch, slots.
    publish,  ///< Tell all ranks and the gateway to plan with current().
    done,     ///< The change that was asked for, or a repair, is through.
    abort,    ///< It is not; `why`.
    give_up,  ///< Steps are to wait no longer for lost experts; `why`.
    keep,     ///< Who is leaving has to stay: there is no room without; `why`.
  };

  kind what = kind::instruct;
  uint32_t change = 0;
  worker_id worker = 0;
  slots_step step = slots_step::load;
  uint32_t epoch = 0;
  std::vector<layer_slot> slots = {};
  std::string why = {};
};

class placement_writer {
public:
  struct settings {
    std::map<rank_id, node_id> ranks; ///< Of the unit, and where they are.
    /// What loading may take, which is as long as a whole node may: it is not
    /// begun again.
    clock::instant::duration patience = std::chrono::minutes{10};
    /// How long steps are let to wait for experts that are being loaded. Then
    /// their requests wait at the gateway, while loading goes on.
    clock::instant::duration patience_of_steps = std::chrono::minutes{1};
    /// Those that come later, if at all: until then they are as lost, and what
    /// `first` has for them nobody wants.
    std::set<node_id> later = {};
  };

  /// So that steps hear it before their own time is over.
  static clock::instant::duration
  patience_of_steps(clock::instant::duration step_timeout) {
    return step_timeout / 2;
  }

  placement_writer(placement first, settings x);

  enum class phase : uint8_t { idle, loading, telling, retiring };

  // -- events -----------------------------------------------------------------

  /// Somebody wants `next`, of the epoch behind. Errors: overloaded while
  /// another change is under way; those of plan_change.
  result<void> ask(const placement_lists& next, clock::instant now);

  /// A worker has done a step of a change, or cannot: `failure`.
  void stepped(uint32_t change, worker_id worker, slots_step step,
               const std::string& failure, clock::instant now);

  /// A rank has no step out that was planned with an epoch before this one.
  void taken(rank_id rank, uint32_t epoch, clock::instant now);

  void lost(node_id node, clock::instant now);

  /// Another process is that node, and its workers hold what the first
  /// placement says. Once there has been another one they are taken in with the
  /// next change, and nobody turns to them before.
  void back(node_id node, clock::instant now);

  /// Whether a node could leave in peace now. Errors: overloaded while another
  /// change is under way, or experts wait; refused, see plan_leave.
  result<void> may_leave(node_id node) const;

  /// The node is about to leave in peace: from now on nothing is placed on it,
  /// and what its workers hold is given to others. Returns whether that takes a
  /// change, which has begun. Errors: those of may_leave. Then nothing has
  /// changed.
  result<bool> leave(node_id node, clock::instant now);

  /// It does not leave after all. What others have got stays with them, and
  /// what there was no room for elsewhere has it there again.
  void stay(node_id node, clock::instant now);

  void tick(clock::instant now);

  /// What is to be done, in order, once.
  std::vector<writer_action> take_actions();

  // -- state ------------------------------------------------------------------

  /// Those that are about to leave.
  const std::set<node_id>& leaving() const {
    return leaving_;
  }

  /// The placement that is planned with; nobody turns to the lost.
  const placement& current() const {
    return current_;
  }

  phase at() const {
    return phase_;
  }

  /// Of the change under way: slots that workers are to fill.
  uint32_t num_arriving() const {
    return num_slots_of(pending_.arriving, nullptr);
  }

  /// Of these, those of workers that have filled all of theirs.
  uint32_t num_arrived() const {
    return num_slots_of(pending_.arriving, &workers_);
  }

  /// Number of the last change, from 1.
  uint32_t change() const {
    return change_;
  }

private:
  static constexpr uint32_t most_failures = 3;

  static uint32_t num_slots_of(const slots_by_worker& slots,
                               const std::set<worker_id>* without);
  void begin(placement_change x, bool is_repair, clock::instant now);
  void instruct(worker_id worker, slots_step step,
                std::vector<layer_slot> slots = {});
  void note(writer_action::kind what, std::string why = {});
  void tell(clock::instant now);
  void retire(clock::instant now);
  void end(clock::instant now);
  void abort(const std::string& why, clock::instant now);
  void repair(clock::instant now);
  void take_in(clock::instant now);
  void expect(node_id node);
  void hope();
  void watch(clock::instant now);
  void give_up(const std::string& why);
  bool can_place(const std::optional<repair_plan>& plan) const;
  bool is_lost(worker_id worker) const {
    return lost_.contains(current_.node_of(worker));
  }
  std::vector<worker_id> workers_of(node_id node) const;
  std::set<node_id> absent() const;
  std::set<node_id> closed() const;
  result<leave_plan> plan_without(node_id node) const;

  const settings settings_;
  const placement first_;
  placement current_;
  placement goal_; ///< The last that somebody wanted.
  phase phase_ = phase::idle;
  uint32_t change_ = 0;
  bool is_repair_ = false;  ///< The change under way.
  bool keeps_goal_ = false; ///< Likewise: what is wanted stays the same.
  std::optional<node_id> for_leaver_; ///< Likewise: what it has is loaded.
  placement_change pending_;          ///< Likewise.
  clock::instant since_ = {};         ///< Likewise, when it began.
  uint32_t num_failures_ = 0;         ///< Of repairs, one after the other.
  bool has_given_up_ = false;
  std::optional<clock::instant> waiting_since_; ///< Experts are.
  std::set<worker_id> workers_;                 ///< Whose answer is awaited.
  std::set<rank_id> ranks_;                     ///< Likewise.
  std::set<node_id> lost_;
  std::set<node_id> returned_;  ///< Back, and not taken in yet.
  std::set<node_id> taking_in_; ///< Of them, by the change under way.
  std::set<node_id> leaving_;   ///< They get nothing any more.
  std::set<node_id> later_;     ///< Of the lost, those that never came.
  std::set<node_id> came_;      ///< Of them, during the change under way.
  std::vector<writer_action> actions_;
};

} // namespace troupe
