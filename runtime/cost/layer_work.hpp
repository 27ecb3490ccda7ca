#pragma once

/// What the stages of a layer have to read, to write and to compute, kernel by
/// kernel, as it follows from a model's shapes: the one formula behind
/// comparing steps (step_cost), behind virtual GPUs and behind what is expected
/// of stages that are measured.

#include "runtime/checkpoint/config.hpp"
#include "runtime/cost/kernel_work.hpp"
#include "runtime/model/batch.hpp"
#include "runtime/pipeline/stage_table.hpp"

namespace troupe {

/// Rows that attend in one form.
struct attention_load {
  double rows = 0;
  double pairs = 0; ///< Of a row and a key that it attends to.
  double keys = 0;  ///< Latents that are read, once for each sequence.
};

/// What a micro-batch brings.
struct step_load {
  attention_load absorbed;
  attention_load multi_head;

  double rows() const {
    return absorbed.rows + multi_head.rows;
  }

  static step_load of(const batch& x);
};

/// Bytes of a value, in the form in which it is stored.
struct value_bytes {
  double weight = 1;  ///< Of products.
  double operand = 1; ///< Of a row that is multiplied with them.
  double value = 2;   ///< Of all between kernels.
  double cached = 2;  ///< Of a latent.

  /// As DeepSeek serves V3: products in FP8, all else in BF16.
  static value_bytes published() {
    return {};
  }
};

class layer_work {
public:
  layer_work(const model_config& config, const value_bytes& bytes);

  // -- stages of a rank -------------------------------------------------------

  kernel_list prepare(const step_load& x) const;
  kernel_list attention(const step_load& x) const;
  kernel_list dense_mlp(double rows) const;
  kernel_list route(double rows) const;
  kernel_list shared_expert(double rows) const;
  /// `answers`: rows that have come back.
  kernel_list combine(double rows, double answers) const;
  kernel_list head(double rows) const;

  /// Of one that a stream runs; of the head the rows are those with logits.
  kernel_list of(stage what, const step_load& x, double answers) const;

  // -- of a worker ------------------------------------------------------------

  /// Products of `pairs` of rows and experts in so many slots.
  kernel_list experts(double pairs, double slots) const;

  // -- between ----------------------------------------------------------------

  double dispatch_row_bytes() const;
  double combine_row_bytes() const;

  /// So many bytes are read and written, and nothing is multiplied.
  static kernel_work passing(double bytes) {
    return {kernel_family::other, 0, bytes, false};
  }

private:
  kernel_work product(double rows, double out, double in) const;
  kernel_work per_head_product(double rows, double out, double in) const;
  void add_mlp(kernel_list& to, double rows, double width) const;

  const model_config c_;
  const value_bytes bytes_;
};

} // namespace troupe
