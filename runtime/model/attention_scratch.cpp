#include "runtime/model/attention_scratch.hpp"

#include "runtime/service.hpp"

#include <algorithm>

namespace troupe {

using kernels::dtype;

namespace {

/// Columns of the widest MLP outside of the routed experts.
uint32_t max_inner(const model_config& c) {
  auto shared = c.n_shared_experts * c.moe_intermediate_size;
  return c.first_k_dense_replace > 0 ? std::max(shared, c.intermediate_size)
                                     : shared;
}

} // namespace

uint32_t head_dim(const model_config& c) {
  return c.qk_nope_head_dim + c.qk_rope_head_dim;
}

attention_scratch::attention_scratch(kernels::device* dev,
                                     const model_config& c, precision p,
                                     uint32_t max_rows, uint32_t max_logit_rows)
  : max_rows(max_rows), max_logit_rows(max_logit_rows), mem(dev) {
  auto f32 = [&](uint32_t cols) {
    return mem.claim(dtype::f32, max_rows, cols);
  };
  auto heads = c.num_attention_heads;
  if (c.q_lora_rank > 0) {
    q_low = f32(c.q_lora_rank);
    q_normed = {mem, c, p, max_rows, c.q_lora_rank};
  }
  q = f32(heads * head_dim(c));
  kv = f32(c.kv_lora_rank + c.qk_rope_head_dim);
  q_latent = f32(heads * c.kv_lora_rank);
  attended = f32(heads * c.kv_lora_rank);
  values = {mem, c, p, max_rows, heads * c.v_head_dim};
  gate = f32(max_inner(c));
  up = f32(max_inner(c));
  middle = {mem, c, p, max_rows, max_inner(c)};
  if (c.num_moe_layers() > 0)
    router_logits = f32(c.n_routed_experts);
  head_in = mem.claim(dtype::f32, max_logit_rows, c.hidden_size);
  head_out = mem.claim(dtype::f32, max_logit_rows, c.vocab_size);
  head_ids = mem.claim(dtype::i32, max_logit_rows, 1);
  head_scores = mem.claim(dtype::f32, max_logit_rows, max_scores);
  head_score_ids = mem.claim(dtype::i32, max_logit_rows, max_scores);
}

} // namespace troupe
