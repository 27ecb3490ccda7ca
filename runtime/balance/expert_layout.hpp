#pragma once

/// Which slot holds which expert, and which share of that expert's rows it
/// takes: what an expert balancer decides, one layer at a time, and the few
/// numbers by which that is judged.

#include "runtime/error.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace troupe::balance {

/// The slots of a layer and the machines that they belong to: worker w has the
/// slots [w S / W, (w + 1) S / W), node n the workers [n W / N, (n + 1) W / N).
struct layout_shape {
  uint32_t num_experts = 1;
  uint32_t num_slots = 1;
  uint32_t num_workers = 1;
  uint32_t num_nodes = 1;
  /// Of consecutive experts, of which a router chooses a few for each token.
  uint32_t num_groups = 1;
  /// No step leaves an expert with fewer, unless it had fewer.
  uint32_t least_replicas = 1;

  uint32_t slots_of_worker() const {
    return num_slots / num_workers;
  }

  uint32_t worker_of(uint32_t slot) const {
    return slot / slots_of_worker();
  }

  uint32_t node_of(uint32_t worker) const {
    return worker / (num_workers / num_nodes);
  }

  friend bool operator==(const layout_shape&, const layout_shape&) = default;
};

constexpr uint32_t max_experts = 65'535;
constexpr uint32_t max_slots = 65'535;

/// Says what is impossible: slots that do not come out even, fewer slots than
/// experts, more than one for each expert and worker. Error: invalid_input.
result<void> check_shape(const layout_shape& shape);

/// One layer.
struct layer_layout {
  std::vector<uint32_t> experts; ///< [slots]: the logical expert in each.
  /// [slots]: of its expert's rows; those of an expert add up to 1.
  std::vector<double> shares;

  friend bool operator==(const layer_layout&, const layer_layout&) = default;
};

/// The placement with which a company starts: slot s is for expert s mod E,
/// replicas share evenly.
layer_layout first_layout(const layout_shape& shape);

/// Slots of an expert share its rows evenly.
std::vector<double> even_shares(const layout_shape& shape,
                                std::span<const uint32_t> experts);

/// Rows that each worker receives. `loads`: [experts] rows.
std::vector<double> worker_loads(const layout_shape& shape,
                                 const layer_layout& layout,
                                 std::span<const double> loads);

/// Mean over largest of the workers' loads; 1 if there are none.
double balance_of(std::span<const double> loads_of_workers);

/// Copies that have to be made: experts on workers that `from` does not have
/// there. `from` may be empty: nothing is anywhere.
uint32_t count_moves(const layout_shape& shape, std::span<const uint32_t> from,
                     std::span<const uint32_t> to);

/// No layout of these loads has a largest load per worker below this. The
/// greatest of:
/// - the mean load of a worker;
/// - the least L for which all experts together need no more slots than there
///   are, one whose load is w needing w / L of them, rounded up: some slot
///   takes at least its even share;
/// - what is left whole. Draw a line between an expert and each worker that
///   has it: of the E + W ends and at most S lines there are at least
///   E + W - S parts that do not hang together. If these are more than W / 2,
///   some parts have a single worker, at least 2 (E + W - S) - W of them, and
///   all their S / W experts are nowhere else; even the lightest experts of
///   all come to this much then.
double least_largest_load(const layout_shape& shape,
                          std::span<const double> loads);

} // namespace troupe::balance
