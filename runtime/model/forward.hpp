#pragma once

/// The forward pass in pieces. `attention_stages` enqueues what an attention
/// rank runs, `expert_stages` what an expert worker runs; between them lie
/// dispatch and combine, which the plain path (plain_forward.hpp) does by
/// calling and the actors by sending. So there is one forward pass.
///
/// Nothing here waits. Host results may be read once a notice, asked for after
/// the call that enqueued them, has come.

#include "kernels/device.hpp"
#include "runtime/checkpoint/config.hpp"
#include "runtime/model/batch.hpp"
#include "runtime/model/kv_pool.hpp"
#include "runtime/model/weights.hpp"

#include <span>

namespace troupe {

/// Which experts the rows of a step have chosen in one layer; host memory.
struct routes {
  std::span<const int32_t> experts; ///< [rows, top_k] logical ids
  std::span<const float> weights;   ///< [rows, top_k]
};

/// An attention rank's part of the model for one step at a time: a lane. Order
/// of calls in a step: begin, then per layer prepare and attention, and either
/// dense_mlp or (route, ..., shared_expert, combine), then head. Those of other
/// lanes on the same stream may come between them, but for prepare and
/// attention, which share what they compute with.
class attention_stages {
public:
  /// `weights` and `pool` outlive this. Claims everything for steps of up to
  /// `max_rows` rows. Where more than `max_logit_rows` of them need logits,
  /// these are computed by so many at a time. Error: out_of_memory.
  static result<std::unique_ptr<attention_stages>>
  make(kernels::device& dev, kernels::stream& stream,
       const attention_weights& weights, kv_pool& pool, uint32_t max_rows,
       uint32_t max_logit_rows);

  /// The same, of several lanes that share the memory for what no other stage
  /// reads. Each has room for `max_rows`.
  static result<std::vector<std::unique_ptr<attention_stages>>>
  make_lanes(kernels::device& dev, kernels::stream& stream,
             const attention_weights& weights, kv_pool& pool, uint32_t max_rows,
             uint32_t max_logit_rows, uint32_t num_lanes);

  /// What that claims.
  static uint64_t num_bytes(const model_config& config, precision p,
                            uint32_t max_rows, uint32_t max_logit_rows,
                            uint32_t num_lanes);

  ~attention_stages();

  /// Sets the batch and embeds it. 1 <= rows <= max_rows.
  void begin(const batch& step);

  /// Norm, queries and latents of the rows.
  void prepare(uint32_t layer);

  /// residual += attention of what prepare has made; appends to the cache.
  void attention(uint32_t layer);

  /// residual += mlp(norm(residual)).
  void dense_mlp(uint32_t layer);

  /// Norm, router, quantisation of the rows; copies the choice to the host.
  void route(uint32_t layer);

  /// The choice of the last `route`.
  routes chosen() const;

  /// [rows]: where the rows of the step stand in their sequences.
  std::span<const uint32_t> positions() const;

  /// The quantised rows of the last `route`: what is dispatched.
  const kernels::activation& operand() const;

  /// Runs the shared expert on the operand (nothing to do without one).
  void shared_expert(uint32_t layer);

  /// Adds the experts' rows, in top-k order, then the shared expert, then the
  /// residual. `row_of[t * top_k + i]` is the row of `rows` with the output of
  /// choice i of row t.
  void combine(const kernels::tensor& rows, std::vector<uint32_t> row_of);

  /// Final norm and head for the rows that need logits; draws tokens from
  /// them. Tokens, and scores and logits where they are wanted, go to the host.
  void head();

  /// For how many rows of the step `head` is.
  uint32_t num_logit_rows() const;

  /// What the last `head` has given. It is the caller's, who may move it out.
  const std::shared_ptr<step_result>& drawn() const;

  /// Room for experts' rows on the way back: [max_rows * top_k, hidden] in the
  /// type in which rows combine.
  const kernels::tensor& landing() const;

  /// Copies the residual stream [rows, hidden] to `dst` (verify).
  void copy_residual(float* dst);
  /// Sets the residual stream from `src` [rows, hidden] (verify).
  void set_residual(const float* src);
  /// Copies the state after the final norm of all rows to `dst` (verify).
  void copy_final_norm(float* dst);

private:
  struct buffers;
  struct impl;
  explicit attention_stages(std::unique_ptr<impl> impl);
  std::unique_ptr<impl> impl_;
};

/// Rows for one slot: rows [first, first + count) of the sorted row list.
struct slot_rows {
  uint32_t slot = 0; ///< Local to the worker and layer.
  uint32_t first = 0;
  uint32_t count = 0;
};

/// An expert worker's part of the model for one grouped GEMM at a time.
class expert_stages {
public:
  /// Claims everything for up to `max_rows` (row, expert) pairs at once. The
  /// memory of `weights` outlives this.
  static result<std::unique_ptr<expert_stages>>
  make(kernels::device& dev, kernels::stream& stream,
       const expert_shard& weights, uint32_t max_rows);

  /// What that claims.
  static uint64_t num_bytes(const model_config& config, precision p,
                            uint32_t max_rows);

  ~expert_stages();

  /// From the next run on another expert is in that slot, or, by empty
  /// weights, none. What runs before needs its memory until it has.
  void set_slot(uint32_t moe_layer, uint32_t slot,
                const kernels::expert_weights& weights);

  /// Runs the experts of `layer`'s slots: output row i is the expert of its
  /// slot applied to row `row[i]` of `x`. Output rows are in combine's type
  /// and lie in `output()` until the next run.
  void run(uint32_t layer, const kernels::activation& x,
           std::vector<uint32_t> row, const std::vector<slot_rows>& slots);

  /// [max_rows, hidden] in the type in which rows combine.
  const kernels::tensor& output() const;

private:
  struct buffers;
  struct impl;
  explicit expert_stages(std::unique_ptr<impl> impl);
  std::unique_ptr<impl> impl_;
};

} // namespace troupe
