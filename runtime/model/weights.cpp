#include "runtime/model/weights.hpp"

#include "runtime/model/rope.hpp"
#include "runtime/model/weight_loader.hpp"

#include <algorithm>

namespace troupe {

namespace {

std::string layer_prefix(uint32_t layer) {
  return "model.layers." + std::to_string(layer) + ".";
}

/// Which layer a tensor belongs to; num_hidden_layers and beyond is MTP.
std::optional<uint64_t> layer_of(std::string_view name) {
  constexpr std::string_view prefix = "model.layers.";
  if (!name.starts_with(prefix))
    return std::nullopt;
  uint64_t out = 0;
  for (auto c : name.substr(prefix.size(), 9)) {
    if (c < '0' || c > '9')
      break;
    out = out * 10 + static_cast<uint64_t>(c - '0');
  }
  return out;
}

uint64_t expert_bytes(const checkpoint& source, const std::string& prefix) {
  uint64_t sum = 0;
  for (auto part : {"gate_proj", "up_proj", "down_proj"})
    for (auto end : {".weight", ".weight_scale_inv"})
      if (auto view = source.find(prefix + part + end))
        sum += view->num_bytes;
  return sum;
}

void load_attention(weight_loader& in, const model_config& c,
                    const std::string& p, attention_layer& out) {
  auto heads = c.num_attention_heads;
  auto q_rows = heads * (c.qk_nope_head_dim + c.qk_rope_head_dim);
  if (c.q_lora_rank > 0) {
    out.q_a = in.linear(p + "q_a_proj.weight", c.q_lora_rank, c.hidden_size);
    out.q_a_norm = in.vector(p + "q_a_layernorm.weight", c.q_lora_rank);
    out.q_b = in.linear(p + "q_b_proj.weight", q_rows, c.q_lora_rank);
  } else {
    out.q_b = in.linear(p + "q_proj.weight", q_rows, c.hidden_size);
  }
  out.kv_a = in.linear(p + "kv_a_proj_with_mqa.weight",
                       c.kv_lora_rank + c.qk_rope_head_dim, c.hidden_size);
  out.kv_a_norm = in.vector(p + "kv_a_layernorm.weight", c.kv_lora_rank);
  in.absorbed(p + "kv_b_proj.weight", out.k_b, out.v_b);
  out.o = in.linear(p + "o_proj.weight", c.hidden_size, heads * c.v_head_dim);
}

void load_mlp(weight_loader& in, const model_config& c, uint32_t layer,
              attention_layer& out) {
  auto p = layer_prefix(layer) + "mlp.";
  if (!c.is_moe(layer)) {
    out.mlp = in.mlp(p, c.intermediate_size, c.hidden_size);
    return;
  }
  out.gate = in.exact_linear(p + "gate.weight", c.n_routed_experts,
                             c.hidden_size);
  if (c.has_correction_bias)
    out.gate_bias = in.vector(p + "gate.e_score_correction_bias",
                              c.n_routed_experts);
  if (c.n_shared_experts > 0)
    out.mlp = in.mlp(p + "shared_experts.",
                     c.n_shared_experts * c.moe_intermediate_size,
                     c.hidden_size);
}

attention_layer load_layer(weight_loader& in, const model_config& c,
                           uint32_t layer) {
  attention_layer out;
  auto p = layer_prefix(layer);
  out.input_norm = in.vector(p + "input_layernorm.weight", c.hidden_size);
  load_attention(in, c, p + "self_attn.", out);
  out.post_norm = in.vector(p + "post_attention_layernorm.weight",
                            c.hidden_size);
  load_mlp(in, c, layer, out);
  return out;
}

void load_ends(weight_loader& in, uint32_t max_model_len,
               attention_weights& out) {
  auto& c = out.config;
  auto embedding = "model.embed_tokens.weight";
  out.embedding = in.table(embedding, c.vocab_size, c.hidden_size);
  out.norm = in.vector("model.norm.weight", c.hidden_size);
  out.head = in.exact_linear(c.tie_word_embeddings ? embedding
                                                   : "lm_head.weight",
                             c.vocab_size, c.hidden_size);
  out.cos_sin = in.floats(rope_table(c, max_model_len), max_model_len,
                          c.qk_rope_head_dim);
}

void load_experts(weight_loader& in, const model_config& c, precision p,
                  uint32_t layer, const std::vector<uint32_t>& experts,
                  std::vector<kernels::expert_weights>& out) {
  auto rows = c.dispatch_layout(p).type;
  for (auto expert : experts) {
    CHECK(expert < c.n_routed_experts);
    auto prefix = expert_prefix(layer, expert);
    out.push_back(in.mlp(prefix, c.moe_intermediate_size, c.hidden_size));
    if (!in.trouble() && operand_type(out.back().gate, p) != rows)
      in.refuse(prefix + "gate_proj.weight",
                "cannot take the rows that this model's experts are fed with; "
                "all experts must have one type");
  }
}

/// Gives back what a load that failed has claimed.
failure give_up(kernels::device& dev, std::vector<kernels::buffer>& memory,
                failure why) {
  for (auto& mem : memory)
    dev.free(mem);
  memory.clear();
  return why;
}

} // namespace

std::string expert_prefix(uint32_t layer, uint32_t expert) {
  return layer_prefix(layer) + "mlp.experts." + std::to_string(expert) + ".";
}

kernels::dtype operand_type(const kernels::weight& w, precision activations) {
  using kernels::dtype;
  if (activations == precision::fp32)
    return dtype::f32;
  auto is_fp8 = activations == precision::fp8 && w.type == dtype::f8_e4m3;
  return is_fp8 ? dtype::f8_e4m3 : dtype::bf16;
}

uint64_t attention_weight_bytes(const checkpoint& source,
                                const model_config& c) {
  uint64_t sum = 0;
  for (auto& name : source.names()) {
    auto layer = layer_of(name);
    if (name.find(".mlp.experts.") == std::string::npos
        && (!layer || *layer < c.num_hidden_layers))
      sum += source.find(name)->num_bytes;
  }
  return sum;
}

uint64_t
expert_weight_bytes(const checkpoint& source, const model_config& config,
                    const std::vector<std::vector<uint32_t>>& experts) {
  auto first = config.first_k_dense_replace;
  uint64_t sum = 0;
  for (uint32_t i = 0; i < experts.size(); ++i)
    for (auto expert : experts[i])
      sum += expert_bytes(source, expert_prefix(first + i, expert));
  return sum;
}

result<std::unique_ptr<attention_weights>>
load_attention_weights(const checkpoint& source, kernels::device& dev,
                       precision activations, uint32_t max_model_len,
                       const load_progress& progress, std::stop_token stop) {
  auto& config = source.config();
  if (!config)
    return config.why();
  if (auto ok = check_activations(*config, activations); !ok)
    return ok.why();
  auto out = std::make_unique<attention_weights>();
  out->config = *config;
  out->activations = activations;
  weight_loader in{source,
                   *config,
                   dev,
                   activations,
                   out->memory,
                   progress,
                   attention_weight_bytes(source, *config),
                   std::move(stop)};
  load_ends(in, max_model_len, *out);
  for (uint32_t i = 0; i < config->num_hidden_layers && in.go_on(); ++i)
    out->layers.push_back(load_layer(in, *config, i));
  if (!in.finish())
    return give_up(dev, out->memory, *in.trouble());
  if (auto same = source.check_unchanged(); !same)
    return give_up(dev, out->memory, same.why());
  out->digests = in.digests();
  return out;
}

result<std::unique_ptr<expert_shard>>
load_expert_shard(const checkpoint& source, kernels::device& dev,
                  precision activations,
                  const std::vector<std::vector<uint32_t>>& experts,
                  const load_progress& progress, std::stop_token stop) {
  auto& config = source.config();
  if (!config)
    return config.why();
  if (auto ok = check_activations(*config, activations); !ok)
    return ok.why();
  CHECK(experts.size() == config->num_moe_layers());
  auto first = config->first_k_dense_replace;
  auto total = expert_weight_bytes(source, *config, experts);
  auto out = std::make_unique<expert_shard>();
  out->config = *config;
  out->activations = activations;
  out->slots.resize(experts.size());
  weight_loader in{source,      *config,  dev,   activations,
                   out->memory, progress, total, std::move(stop)};
  for (uint32_t i = 0; i < experts.size() && in.go_on(); ++i)
    load_experts(in, *config, activations, first + i, experts[i],
                 out->slots[i]);
  if (!in.finish())
    return give_up(dev, out->memory, *in.trouble());
  if (auto same = source.check_unchanged(); !same)
    return give_up(dev, out->memory, same.why());
  out->digests = in.digests();
  return out;
}

} // namespace troupe
