#include "runtime/batching/step_cost.hpp"

#include "runtime/checkpoint/config.hpp"

namespace troupe {

namespace {

/// Weights that one row is multiplied with, in all layers.
double weights_of_row(const model_config& c) {
  double hidden = c.hidden_size;
  double heads = c.num_attention_heads;
  double latent = c.kv_lora_rank;
  double query = heads * (c.qk_nope_head_dim + c.qk_rope_head_dim);
  auto attention = c.q_lora_rank > 0 ? (hidden + query) * c.q_lora_rank
                                     : hidden * query;
  attention += hidden * (latent + c.qk_rope_head_dim)
               + heads * latent * (c.qk_nope_head_dim + c.v_head_dim)
               + heads * c.v_head_dim * hidden;
  auto dense = 3 * hidden * c.intermediate_size;
  auto experts = hidden * c.n_routed_experts
                 + 3 * hidden * c.moe_intermediate_size
                     * (c.num_experts_per_tok + c.n_shared_experts);
  double num_moe = c.num_moe_layers();
  return c.num_hidden_layers * attention + num_moe * experts
         + (c.num_hidden_layers - num_moe) * dense;
}

/// Products of a query with a key and with its value, in all layers, in the
/// form in which prompts attend.
double products_of_pair(const model_config& c) {
  return double(c.num_hidden_layers) * c.num_attention_heads
         * (c.qk_nope_head_dim + c.qk_rope_head_dim + c.v_head_dim);
}

} // namespace

step_cost step_cost::of_shapes(const model_config& config) {
  return {1, products_of_pair(config) / weights_of_row(config)};
}

uint32_t step_cost::rows_within(uint32_t first, uint32_t most,
                                double budget) const {
  uint32_t low = 0;
  auto high = most;
  while (low < high) {
    auto middle = low + (high - low + 1) / 2;
    if (of(first, middle) <= budget)
      low = middle;
    else
      high = middle - 1;
  }
  return low;
}

} // namespace troupe
