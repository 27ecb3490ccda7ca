#include "actors/batching_of.hpp"

namespace troupe {

batcher_options batching_of(const node_parts& parts) {
  auto& limits = parts.cluster.limits;
  batcher_options out;
  out.max_num_seqs = limits.max_num_seqs;
  out.max_num_running = limits.max_num_running();
  out.max_num_batched_tokens = limits.max_num_batched_tokens;
  out.num_lanes = limits.num_lanes();
  out.cost = step_cost::of_shapes(parts.config);
  out.max_model_len = parts.cluster.max_model_len;
  out.vocab_size = parts.config.vocab_size;
  out.num_choices = parts.tokens.num_choices;
  out.eos_token_ids = parts.config.eos_token_ids;
  return out;
}

} // namespace troupe
