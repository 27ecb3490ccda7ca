#pragma once

/// Memory that an attention stage fills and has read again before the next one
/// begins, so that the micro-batches of a rank share it: their stages run one
/// after the other, on one stream.

#include "runtime/model/scratch.hpp"

namespace troupe {

/// What MLA calls a head: the part that is not rotated, then the one that is.
uint32_t head_dim(const model_config& c);

struct attention_scratch {
  /// Without a device it is only counted.
  attention_scratch(kernels::device* dev, const model_config& c, precision p,
                    uint32_t max_rows, uint32_t max_logit_rows);

  const uint32_t max_rows;
  const uint32_t max_logit_rows;
  scratch mem;

  kernels::tensor q_low;          ///< [rows, q_lora_rank] f32
  operand_set q_normed;           ///< the same, normalised
  kernels::tensor q;              ///< [rows, heads * (nope + rope)] f32
  kernels::tensor kv;             ///< [rows, kv_lora_rank + rope] f32
  kernels::tensor q_latent;       ///< [rows, heads * kv_lora_rank] f32
  kernels::tensor attended;       ///< [rows, heads * kv_lora_rank] f32
  operand_set values;             ///< [rows, heads * v_head_dim]
  kernels::tensor gate;           ///< [rows, inner] f32
  kernels::tensor up;             ///< [rows, inner] f32
  operand_set middle;             ///< [rows, inner]
  kernels::tensor router_logits;  ///< [rows, experts] f32
  kernels::tensor head_in;        ///< [logit rows, hidden] f32
  kernels::tensor head_out;       ///< [logit rows, vocab] f32
  kernels::tensor head_ids;       ///< [logit rows, 1] i32
  kernels::tensor head_scores;    ///< [logit rows, max_scores] f32
  kernels::tensor head_score_ids; ///< [logit rows, max_scores] i32
};

} // namespace troupe
