#pragma once

/// What a node of a virtual world takes for the time: another origin than the
/// world's, and a rate that may be a little wrong.

#include "runtime/sim/trace.hpp"

namespace troupe {

class node_time final : public clock {
public:
  /// Ahead of the world's by `parts` in a million at most, and behind.
  static constexpr int64_t most_drift = 500'000;

  /// `now`: the world's, which outlives this.
  explicit node_time(const virtual_instant& now)
    : world_(now), since_(now), base_(now) {
  }

  instant now() const override;

  /// Goes on from where it stands, at a rate of 1 + `parts` / 1,000,000.
  void set_drift(int64_t parts);

  /// Jumps ahead; a clock of this kind never goes back.
  void advance(virtual_duration by);

  /// When the world's time is such that this shows `local` at least; the past
  /// counts as now.
  virtual_instant to_world(instant local) const;

private:
  const virtual_instant& world_;
  virtual_instant since_; ///< Of the world, when this showed base_.
  instant base_;
  int64_t rate_ = 1'000'000; ///< In a second of the world, in microseconds.
};

} // namespace troupe
