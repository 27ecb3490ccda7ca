#pragma once

/// The walk of a rank's steps through the stages of the model. Events go in,
/// actions come out; no clock, no stream, no mailbox, and no memory is taken
/// while it walks, but for a failure's words.
///
/// A step is a micro-batch: it walks in a lane, and while its rows are away the
/// stages of other lanes run. Lanes know nothing of each other, but that a step
/// may follow others: if it has later tokens of their sequences, its attention
/// is enqueued behind theirs, layer for layer. A lane:
///
///            begin                    stage_ended, at the end
///     idle --------> computing ---------------------------> idle
///                     |      ^
///         stage_ended |      | all rows are back
///                     v      |
///                 planning  away      crowded: there was no room for the
///                   | ^      ^        rows; each tick tries again
///           crowded | | tick |
///                   v |      |        behind: before computing, until those
///                 crowded    |        that it follows are far enough
///                            |
///        planning -----------+ dispatched
///
/// Rows of an expert that is waiting wait as well: *held*, like crowded, until
/// there is a placement in which it has a replica.
///
/// A lane plans all of a step with the placement that it began with, but for
/// one that was held: it goes on with the new one, since no rows of the layer
/// are out. What is newest is the next step's.
///
/// Whatever is late carries another serial, layer, epoch or step and is
/// dropped. Rows come back in any number of frames, those of one section in
/// order. If a step fails, so do those that follow it.

#include "runtime/clock.hpp"
#include "runtime/dispatch/answer_slab.hpp"
#include "runtime/dispatch/dispatch_key.hpp"
#include "runtime/dispatch/placement.hpp"
#include "runtime/dispatch/rows_fault.hpp"
#include "runtime/error.hpp"
#include "runtime/pipeline/stage_table.hpp"

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace troupe {

/// What the owner of a walk has to do.
struct walk_action {
  enum class kind : uint8_t {
    run,      ///< Enqueue the stages [first, last) of the table.
    notify,   ///< Ask the stream for a notice: stage_ended with `serial`.
    dispatch, ///< Plan and send the lane's rows, then say what came of it.
    land,     ///< Copy the answers that were given to where they belong.
    /// These were the last rows of the lane that were away. It need not go on
    /// at once: it may follow a step that is not so far yet.
    back,
    end, ///< The lane's step has ended well.
    /// It has not; see step_walk::cause. With a serial its stages are not done
    /// yet: what they write to is in use until the stream has come so far.
    fail,
  };

  kind what = kind::run;
  uint8_t lane = 0;
  uint32_t serial = 0;
  uint32_t first = 0;
  uint32_t last = 0;

  friend bool operator==(const walk_action&, const walk_action&) = default;
};

/// A few actions, in order.
class walk_actions {
public:
  void push(const walk_action& x) {
    CHECK(size_ < all_.size());
    all_[size_++] = x;
  }

  const walk_action* begin() const {
    return all_.data();
  }

  const walk_action* end() const {
    return all_.data() + size_;
  }

private:
  /// An event lands rows and moves one lane on, and those behind it.
  std::array<walk_action, 16> all_;
  size_t size_ = 0;
};

/// A set of lanes: bit i is lane i.
using lane_set = uint8_t;

class step_walk {
public:
  static constexpr uint8_t max_lanes = 4;

  struct settings {
    rank_id rank = 0;
    node_id node = 0;      ///< The rank's; its own rows have no deadline.
    uint8_t num_lanes = 1; ///< At most max_lanes.
    clock::instant::duration step_timeout = {};
  };

  using placement_ptr = std::shared_ptr<const placement>;

  /// `map` is the placement that the rank plans with; `table` outlives this.
  step_walk(const settings& x, const stage_table& table, placement_ptr map);

  /// Whether a lane waits for answers to this dispatch.
  bool awaits(const dispatch_key& of) {
    return awaiting(of) != nullptr;
  }

  // -- events -----------------------------------------------------------------

  /// A step begins in a lane where none is out; it follows those that are still
  /// out in the lanes of `behind`.
  walk_actions begin(uint8_t lane, lane_set behind = 0);

  /// The notice of `serial` has come; `failure` is empty if all went well. The
  /// stream is everybody's: if it has failed all steps have.
  walk_actions stage_ended(uint32_t serial, const std::string& failure);

  /// The answer to `dispatch`: the rows of plan_of(lane) are on their way, or
  /// enqueued to be.
  walk_actions dispatched(uint8_t lane);

  /// The answer to `dispatch`: there was no room.
  walk_actions crowded(uint8_t lane);

  /// The answer to `dispatch`: an expert that is wanted is waiting.
  walk_actions held(uint8_t lane);

  /// Who is waiting does not come any more: held steps fail.
  walk_actions give_up_waiting(const failure& why);

  /// Steps that begin, and those that are held, go by this placement.
  walk_actions set_map(placement_ptr map);

  /// Nobody turns to workers of these nodes any more, by any placement.
  void avoid(const std::set<node_id>& nodes);

  /// Answers of a combine frame from a node; or bytes that are none, with the
  /// reason. A node answers for its own workers only.
  walk_actions rows(const dispatch_key& of, node_id from,
                    const result<answer_view>& answers);

  /// Who will not answer: a worker, or rows_refused::whole_slab.
  walk_actions refused(const dispatch_key& of, const std::string& who,
                       rows_fault why);

  /// A process of `node` is gone for good; `sentence` names it.
  walk_actions peer_gone(node_id node, const std::string& sentence);

  /// Another process is that node from now on.
  void peer_back(node_id node) {
    gone_.erase(node);
  }

  /// `has_left(lane, serial)` tells whether the rows of that dispatch are out.
  template <class F>
  walk_actions tick(clock::instant now, F has_left) {
    walk_actions out;
    for (uint8_t i = 0; i < lanes_.size(); ++i)
      tick_lane(i, now, has_left(i, lanes_[i].serial), out);
    return out;
  }

  // -- state ------------------------------------------------------------------

  bool step_is_out(uint8_t lane) const {
    return lanes_[lane].what != phase::idle;
  }

  /// Steps that were begun.
  uint32_t num_steps() const {
    return num_steps_;
  }

  /// The number of the last step that was begun in a lane, from 1.
  uint32_t step_of(uint8_t lane) const {
    return lanes_[lane].step;
  }

  /// What the rows of the dispatch at hand carry.
  dispatch_key key_of(uint8_t lane) const;

  /// What steps that begin now are planned with, and what that of a lane is.
  const placement_ptr& map() const {
    return map_;
  }

  const placement& map_of(uint8_t lane) const {
    return *lanes_[lane].map;
  }

  /// The oldest that a step which is out was planned with, or the newest.
  uint32_t oldest_epoch() const;

  /// Why the plan of a lane cannot be dispatched: a node that is gone.
  std::optional<failure> obstacle(uint8_t lane) const;

  /// The same as an event.
  walk_actions fail(uint8_t lane, failure cause);

  /// The plan of the dispatch at hand. Whoever carries out `dispatch` makes it
  /// there, out of the last one.
  dispatch_plan& plan_of(uint8_t lane) {
    return lanes_[lane].plan;
  }

  /// Why the last step of a lane that failed did.
  const failure& cause(uint8_t lane) const {
    return lanes_[lane].cause;
  }

private:
  enum class phase : uint8_t {
    idle,
    behind,
    computing,
    planning,
    crowded,
    held,
    away,
  };

  struct lane {
    phase what = phase::idle;
    uint32_t step = 0;
    lane_set behind = 0; ///< Where the steps are out that this one follows.
    uint32_t serial = 0; ///< Of the notice or the rows that are waited for.
    uint32_t at = 0;     ///< The stage that waits; those before are enqueued.
    placement_ptr map;   ///< Of its step.
    dispatch_plan plan;
    std::vector<uint32_t> received; ///< Rows that are back, [plan.workers].
    uint32_t num_missing = 0;       ///< Rows that are not.
    /// Since a tick has seen rows that are away, or cannot leave.
    std::optional<clock::instant> waiting_since = {};
    failure cause = {};
  };

  void advance(uint8_t lane, walk_actions& out);
  bool is_behind(const lane& x) const;
  void move_on_behind(uint8_t lane, walk_actions& out);
  void end(uint8_t lane, walk_actions& out);
  void fail(uint8_t lane, const failure& cause, walk_actions& out);
  void tick_lane(uint8_t lane, clock::instant now, bool has_left,
                 walk_actions& out);
  bool has_waited_too_long(lane& x, clock::instant now) const;
  lane* awaiting(const dispatch_key& of);
  std::optional<size_t> part_of(const lane& x, node_id from,
                                const answer_section& s) const;
  std::string debtors_elsewhere(const lane& x) const;
  bool owes(const lane& x, size_t part) const;

  const settings settings_;
  const stage_table& table_;
  placement_ptr map_;
  std::vector<lane> lanes_;
  uint32_t num_steps_ = 0;
  uint32_t serial_ = 0; ///< The last one given.
  std::map<node_id, std::string> gone_;
};

} // namespace troupe
