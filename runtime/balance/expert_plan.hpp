#pragma once

/// A plan for all layers of a placement, and the changes of the placement that
/// carry it out: none has more copies than there is room for beside what is
/// still in use, and after each no worker is fuller than the fullest was.

#include "runtime/balance/load_table.hpp"
#include "runtime/balance/placed_layer.hpp"
#include "runtime/clock.hpp"

#include <functional>
#include <string>

namespace troupe::balance {

/// When a layer is left as it is.
struct plan_limits {
  /// What a copy has to take from the fullest worker, as a share of the mean
  /// load of a worker: see copy_price.
  double least_gain = 0;
  /// What a layer has to gain at least, likewise; and no less than what chance
  /// does to so many rows.
  double least_improvement = 0.02;
  /// Rows for each expert, on average, before a layer is looked at.
  double least_rows = 16;
  /// What a policy from outside may take, for all layers.
  clock::instant::duration budget = std::chrono::milliseconds{100};
};

/// What becomes of a layer, as far as it has not been done.
struct layer_goal {
  placed_layer at;                ///< Its state is where the steps begin.
  std::vector<layout_step> steps; ///< They are worth their copies.
  double before = 0;              ///< Rows of the fullest worker.
  double after = 0;               ///< Likewise, after all of them.
  double mean = 0;                ///< Rows of a worker.
  bool is_done = false;           ///< There are no steps, and shares are set.
};

struct expert_plan {
  std::vector<layer_goal> goals; ///< Those who gain most come first.
  double balance = 1;            ///< Mean over largest load, mean of layers.
  double planned = 1;            ///< Likewise, after the plan.
  double gain = 0; ///< Of the rows of fullest workers, the share that goes.
  /// Why plans of the policy from outside were not followed; empty: they were.
  std::string refusal;
};

/// What there is to plan with.
struct plan_matter {
  placement now;
  std::set<node_id> absent;
  load_table loads; ///< [moe layers] in order.
  plan_limits limits;
  uint32_t least_replicas = 1; ///< See layout_shape.
};

/// `first` is asked if it is there, and if its answer is in order and in time;
/// else the built-in policy. `time`: to measure the first one by.
expert_plan plan_experts(const plan_matter& x, expert_policy* first,
                         const std::function<clock::instant()>& time);

/// An expert comes to a worker.
struct expert_copy {
  uint32_t moe_layer = 0;
  uint32_t expert = 0;
  std::optional<worker_id> from; ///< Who has it no more; none: a new replica.
  worker_id to = 0;
  double gain = 0; ///< Its part of what the layer gains, of the mean load.
  std::string reason;
};

struct next_change {
  placement_lists next;
  std::vector<expert_copy> copies;
};

/// Takes as much of the goals as has room at once in the empty slots of `now`,
/// and no more than `most_copies`, which is 2 at least. What has no room at all
/// is dropped. Nothing if all goals are reached.
std::optional<next_change> cut_change(const placement& now, expert_plan& plan,
                                      uint32_t most_copies);

} // namespace troupe::balance
