#pragma once

/// The rows of a layer on their way from experts to workers: each expert's load
/// is poured into its slots, so that the fullest worker is as little full as
/// can be. A min-max flow; what can be changed are the slots.

#include "runtime/balance/expert_layout.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace troupe::balance {

class slot_flow {
public:
  /// `experts`: [slots], each expert somewhere; `loads`: [experts], not
  /// negative. Starts from even shares.
  slot_flow(const layout_shape& shape, std::span<const uint32_t> experts,
            std::span<const double> loads);

  // -- properties -------------------------------------------------------------

  const layout_shape& shape() const {
    return shape_;
  }

  double load_of(uint32_t expert) const {
    return loads_[expert];
  }

  /// Rows of a slot.
  double flow(uint32_t slot) const {
    return flow_[slot];
  }

  /// Rows of a worker.
  double level(uint32_t worker) const {
    return level_[worker];
  }

  std::span<const double> levels() const {
    return level_;
  }

  uint32_t expert_at(uint32_t slot) const {
    return expert_[slot];
  }

  uint32_t worker_of(uint32_t slot) const {
    return worker_[slot];
  }

  uint32_t count_of(uint32_t expert) const {
    return count_[expert];
  }

  bool holds(uint32_t worker, uint32_t expert) const;

  /// The slots of an expert, in no order: the first, and who follows; `none`
  /// after the last.
  uint32_t first_slot(uint32_t expert) const {
    return first_[expert];
  }

  uint32_t next_slot(uint32_t slot) const {
    return next_[slot];
  }

  /// The fullest worker.
  uint32_t fullest() const;

  /// Shares as they are now; even ones for an expert without load.
  layer_layout layout() const;

  static constexpr uint32_t none = UINT32_MAX;

  // -- changes ----------------------------------------------------------------

  /// Puts another expert into a slot. The old one needs another slot before
  /// rows flow again: pour() it, or put() it elsewhere.
  void put(uint32_t slot, uint32_t expert);

  /// Pours the load of an expert into its slots as evenly as the other experts
  /// leave room, and then those whose room has changed by it, until nothing
  /// changes much or `limit` experts were poured. No worker that gets fuller by
  /// one pouring gets fuller than the fullest of its expert's was.
  void settle(std::span<const uint32_t> experts, uint32_t limit);

  /// The least fullness of the fullest worker that these slots allow, exactly.
  /// [Dinkelbach; augmenting paths] Returns it.
  double solve();

  /// Settles all experts that have a choice: nobody is fuller for it than the
  /// fullest was, and workers that are less full are alike, too. Batches differ
  /// from the loads of a plan; the fewer are as full as the fullest, the less
  /// that costs.
  void level_out();

  /// As solve() for the fullest workers alone, to a millionth; what is below
  /// may lie as it does. Quick where little is left to do.
  double relieve();

  /// What flows where, to go back to; the slots are another matter.
  struct amounts {
    std::vector<double> flow;
    std::vector<double> level;
  };

  void save(amounts& out) const;
  void restore(const amounts& x);

private:
  double pour(uint32_t expert);
  bool join_twin(uint32_t slot);
  void push_changed(uint32_t worker);
  double push_path(uint32_t from, double limit);

  layout_shape shape_;
  std::vector<double> loads_;
  std::vector<uint32_t> expert_; ///< [slots]
  std::vector<uint32_t> worker_; ///< [slots]
  std::vector<uint32_t> next_;   ///< [slots] of the same expert.
  std::vector<double> flow_;     ///< [slots]
  std::vector<uint32_t> first_;  ///< [experts]
  std::vector<uint32_t> count_;  ///< [experts]
  std::vector<double> level_;    ///< [workers]
  double mean_ = 0;
  bool has_twins_ = false; ///< An expert is somewhere twice.

  // Used again and again.
  std::vector<uint32_t> queue_;
  std::vector<char> is_queued_;     ///< [experts]
  std::vector<uint32_t> came_from_; ///< [workers]: slot there.
  std::vector<uint32_t> came_by_;   ///< [workers]: slot at the one before.
  std::vector<std::pair<double, uint32_t>> room_;
};

} // namespace troupe::balance
