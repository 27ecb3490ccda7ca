#include "runtime/cost/model_work.hpp"

#include <algorithm>
#include <cmath>

namespace troupe {

namespace {

using enum tensor_kind;

const model_summary::amount& of(const model_summary& s, tensor_kind kind) {
  return s.kinds[static_cast<size_t>(kind)];
}

} // namespace

step_work& step_work::operator+=(const step_work& x) {
  experts += x.experts;
  weight_bytes += x.weight_bytes;
  cache_bytes += x.cache_bytes;
  flops += x.flops;
  return *this;
}

model_work::model_work(const model_config& config, const model_summary& summary,
                       precision activations)
  : config_(config) {
  auto value_bytes = activations == precision::fp32 ? 4 : 2;
  cache_bytes_ = double(config.num_hidden_layers) * value_bytes
                 * (config.kv_lora_rank + config.qk_rope_head_dim);
  model_summary::amount always;
  for (auto kind : {attention, dense_mlp, shared_experts}) {
    always.bytes += of(summary, kind).bytes;
    always.parameters += of(summary, kind).parameters;
  }
  always_bytes_ = double(always.bytes);
  always_flops_ = 2.0 * double(always.parameters);
  auto& out = of(summary, config.tie_word_embeddings ? embedding : head);
  head_bytes_ = double(out.bytes);
  head_flops_ = 2.0 * double(out.parameters);
  auto& routed = of(summary, routed_experts);
  auto num_experts = double(std::max(1u, config.n_routed_experts));
  expert_bytes_ = double(routed.bytes) / num_experts;
  expert_flops_ = 2.0 * double(routed.parameters) / num_experts;
}

double model_work::expected_experts(double rows) const {
  auto all = double(config_.n_routed_experts);
  if (all == 0 || config_.num_moe_layers() == 0)
    return 0;
  auto share = double(config_.num_experts_per_tok) / all;
  return all * (1 - std::pow(1 - share, rows));
}

double model_work::attention_flops(const step_shape& shape) const {
  auto& c = config_;
  double per_pair = 2.0 * (2.0 * c.kv_lora_rank + c.qk_rope_head_dim);
  if (shape.rows > 1)
    per_pair = std::min(
      per_pair,
      2.0 * (double(c.qk_nope_head_dim) + c.qk_rope_head_dim + c.v_head_dim));
  double rows = shape.rows;
  auto pairs = shape.sequences
               * (rows * shape.first_position + rows * (rows + 1) / 2);
  return pairs * per_pair * c.num_attention_heads * c.num_hidden_layers;
}

step_work model_work::step(const step_shape& shape) const {
  auto rows = double(shape.sequences) * shape.rows;
  step_work out;
  out.experts = expected_experts(rows);
  out.weight_bytes = always_bytes_ + out.experts * expert_bytes_;
  out.flops = rows
                * (always_flops_ + config_.num_experts_per_tok * expert_flops_)
              + attention_flops(shape) + shape.logit_rows * head_flops_;
  if (shape.logit_rows > 0)
    out.weight_bytes += head_bytes_;
  auto read = shape.sequences * (shape.first_position + shape.rows);
  out.cache_bytes = (read + rows) * cache_bytes_;
  return out;
}

step_work model_work::prompt(uint32_t tokens, uint32_t chunk) const {
  step_work out;
  for (uint32_t first = 0; first < tokens; first += chunk) {
    auto rows = std::min(chunk, tokens - first);
    out += step({1, rows, double(first), first + rows == tokens ? 1u : 0u});
  }
  return out;
}

} // namespace troupe
