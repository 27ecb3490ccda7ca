#pragma once

/// In how many micro-batches the work of a rank is cut: as many as have turned
/// out to be fastest for steps of that size. A plain class, told of the time.
///
/// Overlap pays where rows are away on other nodes while nothing is computed,
/// and costs where it makes small products smaller. How much of either there
/// is no formula knows of a machine that it has not met: so it is measured.
/// What a window of steps took for what they cost (step_cost) is compared
/// between k and its neighbours, for each kind of work by itself: that with
/// rows of prompts, whose steps come in all sizes one after the other, and
/// decoding alone, by the power of two that its rows reach. Kinds take turns,
/// so the time between the ends of two steps belongs to the later one's kind,
/// whose window goes on where it was. Another k is tried only if it may gain: a
/// larger one if rows of other nodes were waited for, and for longer than a
/// step takes whatever it has (which is what one more costs); a smaller one if
/// there is one; for one window in 64, and half as often after each that was in
/// vain, until the work or the machine is seen to have changed. A trial is
/// judged by itself: what k did long ago is forgotten. One that does clearly
/// worse ends with the first steps.

#include "runtime/clock.hpp"

#include <array>
#include <cstdint>
#include <map>
#include <optional>

namespace troupe {

class lane_choice {
public:
  using duration = clock::instant::duration;

  /// Between 1 and `most` micro-batches. 1 <= most <= 4.
  explicit lane_choice(uint32_t most) : most_(most) {
  }

  /// For work of `num_rows` rows, with or without some of prompts.
  uint32_t lanes_for(uint32_t num_rows, bool has_prompts);

  /// A step begins in `lane`, below 4, now; of the work asked about last. One
  /// that has rows of prompts and was to have none, or the other way round,
  /// teaches nothing.
  void began(uint8_t lane, clock::instant now, bool has_prompts);

  /// The step of `lane`, of that cost, has ended, now; it waited `away` for
  /// rows of other nodes.
  void ended(uint8_t lane, clock::instant now, double cost, duration away);

  /// A step has ended, now, of which nothing is to be learnt: it has failed.
  void dropped(clock::instant now) {
    last_end_ = now;
  }

  /// So many seconds a step takes whatever it has; 0: that is not known.
  void know(double of_step) {
    of_step_ = of_step;
  }

  /// Nothing is out, and nothing to be done: time that passes is nobody's.
  void rest();

private:
  static constexpr uint32_t max_lanes = 4;

  /// How k micro-batches have done.
  struct experience {
    double time_per_cost = 0; ///< Seconds; aged mean.
    double waited = 0;        ///< Of the time of steps, the part away.
    double away = 0;          ///< Seconds of a step; likewise.
    uint32_t num_windows = 0;
  };

  /// Steps that are to be judged together.
  struct window {
    uint32_t num_steps = 0;
    duration time = {};
    duration away = {};
    double cost = 0;
  };

  struct kind {
    std::array<experience, max_lanes + 1> of = {}; ///< By k.
    uint32_t best = 1;
    uint32_t tried = 0;       ///< The k on trial, or 0.
    uint32_t since_trial = 0; ///< Windows.
    uint32_t pause = 0;       ///< Windows until the next one; 0: the shortest.
    double settled = 0; ///< Time per cost of the best when `pause` was set.
    bool last_was_larger = false;
    window at_hand; ///< Of the k that is in use.

    uint32_t in_use() const {
      return tried > 0 ? tried : best;
    }
  };

  /// What a step is part of.
  struct work {
    uint32_t kind = 0;
    uint32_t lanes = 1;
  };

  static bool is_in_vain(const kind& x, const window& w);
  void close(kind& x, uint32_t k);
  static void settle(kind& x, uint32_t pause);
  void judge(kind& x, uint32_t k);
  void plan_trial(kind& x) const;
  bool may_gain(const experience& x) const;

  const uint32_t most_;
  double of_step_ = 0;
  std::map<uint32_t, kind> kinds_; ///< By the logarithm of rows; 0: prompts.
  work asked_;
  std::array<work, max_lanes> out_ = {};   ///< By lane.
  std::optional<clock::instant> last_end_; ///< Or the begin of what came first.
};

} // namespace troupe
