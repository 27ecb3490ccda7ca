#pragma once

/// The steps of a rank that are out, and what those that have ended took. From
/// this follow in how many micro-batches its work is cut, what rows cost beside
/// each other, what a step may cost, and the prices that balancers are told. A
/// plain class, told of the time.

#include "runtime/batching/batcher.hpp"
#include "runtime/batching/live_costs.hpp"
#include "runtime/batching/rank_times.hpp"
#include "runtime/batching/step_times.hpp"
#include "runtime/pipeline/lane_choice.hpp"
#include "runtime/pipeline/shared_time.hpp"

#include <array>
#include <memory>
#include <optional>

namespace troupe {

class step_book {
public:
  using duration = clock::instant::duration;

  struct settings {
    uint32_t num_lanes = 1;       ///< At most 4.
    bool chooses_lanes = false;   ///< Up to that; else it is always that.
    bool prices_requests = false; ///< Somebody asks for prices.
  };

  step_book(const model_config& config, const settings& x);

  /// In how many micro-batches work of `num_rows` rows is cut, with or without
  /// some of prompts.
  uint32_t lanes_for(uint32_t num_rows, bool has_prompts);

  /// The step begins, now. Returns whether its stages are to be timed.
  bool begin(const planned_step& x, clock::instant now);

  struct ended_step {
    uint8_t lane = 0;
    bool is_well = true;
    duration away = {}; ///< It waited for rows of other nodes.
    std::optional<timed_stages> stages = {};
  };

  /// The step of that lane has ended, now.
  void end(const ended_step& x, clock::instant now);

  /// Nothing is out, and nothing to be done.
  void rest();

  /// See live_costs. Of `row` a row takes in the experts of a layer, as far as
  /// that is known here.
  std::optional<step_cost> news(double row);

  /// What a step may cost that is to end within `limit`.
  double cost_within(duration limit) const;

  /// What rows [first, first + count) of a sequence take, in seconds; 0: not
  /// known.
  double seconds_for(uint32_t first, uint32_t count) const;

  const rank_times& prices() const {
    return prices_;
  }

private:
  static constexpr uint8_t max_lanes = 4;

  struct step_out {
    double cost = 0;
    clock::instant at = {};
    rank_times::load load = {};
    step_load timed = {}; ///< If its stages are.
  };

  const settings settings_;
  std::unique_ptr<lane_choice> lanes_; ///< Null: their number is given.
  std::array<step_out, max_lanes> out_ = {};
  shared_time shares_;
  step_times times_;
  rank_times prices_;
  timing_turns turns_;
  live_costs costs_;
  step_cost cost_;
};

} // namespace troupe
