#pragma once

/// What the work of a rank takes on its machine, learnt from the stages of some
/// of its steps; what is kept is of the size of a cost_model. From this follows
/// what rows cost beside each other, and what a step costs whatever it has. A
/// plain class, told of the time.
///
/// A rank does not see the runs of experts, which compute for others as well,
/// on whatever node. Who does may say what a row takes there (see_experts);
/// else it is taken to be to the rank's own work as their arithmetic is.

#include "runtime/batching/step_cost.hpp"
#include "runtime/checkpoint/config.hpp"
#include "runtime/cost/cost_model.hpp"
#include "runtime/pipeline/stage_timer.hpp"

#include <optional>

namespace troupe {

class live_costs {
public:
  explicit live_costs(const model_config& config);

  /// A step that was timed has ended.
  void see(const step_load& load, const timed_stages& x);

  /// Seconds that a row takes in the experts of a layer; 0: not known.
  void see_experts(double row) {
    expert_row_ = row;
  }

  /// What rows cost, if that is clearly another thing than it was last time, or
  /// than the shapes of the model say. Nothing before enough was seen.
  std::optional<step_cost> news();

  /// Seconds that the stages of a step take whatever it has: so much more does
  /// each further micro-batch. 0 if that is not known.
  double seconds_of_step() const;

  const cost_model& stages() const {
    return model_;
  }

private:
  double seconds(const step_load& x, double logit_rows) const;
  double with_experts(double row) const;

  const model_config config_;
  const double expert_share_; ///< Their arithmetic, of a row's own.
  cost_model model_;
  step_cost said_;
  bool knows_prompts_ = false; ///< Those that attend in multi-head form.
  double expert_row_ = 0;
  uint32_t num_seen_ = 0;
};

} // namespace troupe
