#pragma once

/// The shapes of DeepSeek-V3, for costs.

#include "runtime/checkpoint/config.hpp"

namespace troupe {

inline model_config v3_shapes() {
  model_config v3;
  v3.vocab_size = 129280;
  v3.hidden_size = 7168;
  v3.num_hidden_layers = 61;
  v3.first_k_dense_replace = 3;
  v3.intermediate_size = 18432;
  v3.moe_intermediate_size = 2048;
  v3.n_routed_experts = 256;
  v3.n_shared_experts = 1;
  v3.num_experts_per_tok = 8;
  v3.num_attention_heads = 128;
  v3.q_lora_rank = 1536;
  v3.kv_lora_rank = 512;
  v3.qk_nope_head_dim = 128;
  v3.qk_rope_head_dim = 64;
  v3.v_head_dim = 128;
  return v3;
}

} // namespace troupe
