#pragma once

/// A unit of GPUs alike in virtual time, without nodes, actors or numbers: on
/// each a rank whose steps the real step_walk leads through the real stages in
/// lanes, a worker that runs whatever rows wait, and the real plans of what is
/// sent where. All that computes on a GPU shares it; all that it sends goes one
/// after the other.
///
/// Times are those that a cost_model gives to layer_work on a unit_machine;
/// rows choose experts at random and evenly.

#include "runtime/cost/layer_work.hpp"
#include "runtime/cost/unit_machine.hpp"
#include "runtime/tracing/spans.hpp"

#include <array>

namespace troupe {

/// What a GPU does first of what its rank and its worker have for it. Rows that
/// leave are packed before both.
enum class compute_order : uint8_t {
  /// Stages of the rank give way to rows that arrive, and go on behind them:
  /// the published order of decoding.
  worker_first,
  in_order, ///< As it comes: the published order of prefill.
};

struct virtual_unit_options {
  model_config config;
  value_bytes bytes;
  unit_machine machine;
  uint32_t num_ranks = 1; ///< At most as many as there are slots.
  /// Slots beyond one for each expert. What lies in them gets rows as experts
  /// of their own would.
  uint32_t redundant_experts = 0;
  exchange_mode exchange = exchange_mode::low_latency;
  compute_order order = compute_order::worker_first;
  std::vector<step_load> lanes; ///< The step of each; 1 to 4.
  uint64_t seed = 1;
};

/// What one step of all lanes has taken on the first GPU.
struct unit_step {
  /// Of the first two GPUs and between them.
  std::vector<node_spans> spans;
  /// Seconds of kernels in a layer with experts, all lanes.
  std::array<double, num_kernel_families> of_family = {};
};

unit_step run_step(const virtual_unit_options& options);

} // namespace troupe
