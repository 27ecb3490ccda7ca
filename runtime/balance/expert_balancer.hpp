#pragma once

/// The built-in policy. From nothing it chooses numbers of replicas, slots and
/// shares together (pair_packing.hpp, slot_packing.hpp, then exchanges); from a
/// layout it takes the steps that gain most for each copy, as long as they are
/// worth it (slot_search.hpp). It is never behind balance_eplb() from nothing.

#include "runtime/balance/expert_policy.hpp"

namespace troupe::balance {

struct balance_options {
  /// A plan goes on as long as its copies take this from the fullest worker,
  /// each on average, as a share of the mean load of a worker.
  double least_gain = 0.0002;
  /// Copies of one plan, as a share of the layer's slots. The next plan goes on
  /// where this one ends.
  double most_copied = 0.18;
};

/// What a copy has to gain so that it is worth its bytes within some time: so
/// many rows less for the fullest worker have as many bytes.
struct copy_price {
  double expert_bytes = 0;    ///< Of a copy, in one layer.
  double row_bytes = 1;       ///< Dispatched and combined.
  double rows_per_second = 1; ///< Mean of the workers, in one layer.
  double seconds = 60;        ///< Within which a copy has to pay.

  /// For balance_options.
  double least_gain() const {
    return expert_bytes / (row_bytes * rows_per_second * seconds);
  }
};

/// How many of the steps are worth taking: up to where their gain, less `price`
/// rows for each of their copies, is greatest, with no more copies than `most`.
/// Several workers may be as full as the fullest, so that only the last of a
/// row of steps gains anything.
size_t worth_taking(const std::vector<layout_step>& steps, double price,
                    double most);

class expert_balancer final : public expert_policy {
public:
  explicit expert_balancer(const balance_options& options = {})
    : options_(options) {
  }

  layer_plan plan(const layer_state& x) override;

private:
  layer_plan fill(const layer_state& x) const;
  layer_plan improve(const layer_state& x) const;

  const balance_options options_;
};

} // namespace troupe::balance
