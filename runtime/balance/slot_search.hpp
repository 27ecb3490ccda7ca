#pragma once

/// Steps from a layout to a better one: each puts another expert into one slot
/// or exchanges those of two, and after each the fullest worker is less full
/// than it was, or fewer are as full.

#include "runtime/balance/slot_flow.hpp"

#include <optional>

namespace troupe::balance {

struct slot_change {
  uint32_t slot = 0;
  uint32_t expert = 0;

  friend bool operator==(const slot_change&, const slot_change&) = default;
};

/// Changes that belong together: without one of them an expert would be
/// nowhere, or somebody fuller than before.
struct layout_step {
  slot_change first;
  std::optional<slot_change> second = {}; ///< Of an exchange.
  double before = 0;                      ///< Rows of the fullest worker.
  double after = 0;

  uint32_t num_moves() const {
    return second ? 2 : 1;
  }

  friend bool operator==(const layout_step&, const layout_step&) = default;
};

class slot_search {
public:
  /// `enough`: a worker with so many rows need have no fewer.
  slot_search(slot_flow flow, double enough);

  /// Takes the step that takes most from the fullest worker and those who
  /// share with it, for each copy that it makes; if there is none, two of which
  /// the first makes the second possible. Returns false if there are none.
  bool improve(std::vector<layout_step>& out);

  const slot_flow& flow() const {
    return flow_;
  }

  /// Puts experts that are on a worker twice only once there: the other slot
  /// is for who has most rows for each of its replicas.
  void mend(std::vector<layout_step>& out);

  /// Lets rows flow as well as they can. Returns those of the fullest worker.
  double solve() {
    return flow_.solve();
  }

private:
  struct candidate {
    double score = 0;
    layout_step step;
    std::optional<layout_step> prepared; ///< Comes before it.
  };

  void find_pools();
  void add_replicas();
  void add_exchanges();
  void add_exchanges(uint32_t worker);
  void add_prepared();
  bool find_step(std::vector<layout_step>& out);
  double bar(double copies) const;
  void offer(double after, const layout_step& step,
             const std::optional<layout_step>& prepared = {});
  std::optional<layout_step> find_relief(uint32_t kept, double more,
                                         uint32_t avoided) const;
  uint32_t hottest() const;
  slot_change put(const slot_change& x);
  std::vector<slot_change> make(const layout_step& step);
  bool attempt(const candidate& x, std::vector<layout_step>& out);
  bool is_better(std::span<const slot_change> changed) const;
  double worst_without(uint32_t slot) const;
  bool may_add(uint32_t expert, uint32_t slot) const;
  bool may_drop(uint32_t slot) const;
  bool may_exchange(const layout_step& step) const;
  bool is_spread(uint32_t expert, uint32_t from, uint32_t to) const;
  uint32_t of_node(uint32_t expert, uint32_t node) const;

  slot_flow flow_;
  double enough_;
  uint32_t fullest_ = 0;
  double level_ = 0; ///< Of the fullest.

  // -- pools: workers that are equally full, since they share experts ---------

  std::vector<uint32_t> pool_;     ///< [workers]
  std::vector<double> pool_level_; ///< [pools] sum of levels
  std::vector<uint32_t> pool_size_;
  std::vector<double> shared_; ///< [workers] rows of experts with replicas.

  std::vector<candidate> best_; ///< Descending.
  slot_flow::amounts saved_;
};

} // namespace troupe::balance
