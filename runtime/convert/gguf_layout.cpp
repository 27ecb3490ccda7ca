#include "runtime/convert/gguf_layout.hpp"

namespace troupe {

namespace {

failure cannot_hold(const std::string& why) {
  return {errc::invalid_input, "llama.cpp cannot run this model: " + why};
}

/// Shapes that llama.cpp takes for V2-Lite's kind, which has no q_lora_rank.
bool is_lite(const model_config& c) {
  return c.num_hidden_layers == 26 || c.num_hidden_layers == 27
         || (c.num_hidden_layers == 48 && c.vocab_size == 128256);
}

void add_general_keys(const std::string& name, ggml_type weights,
                      gguf_keys& out) {
  constexpr uint32_t mostly_q8_0 = 7, mostly_bf16 = 32;
  out.text("general.architecture", "deepseek2");
  out.text("general.name", name);
  out.number("general.file_type",
             weights == ggml_type::q8_0 ? mostly_q8_0 : mostly_bf16);
  out.number("general.quantization_version", 2);
}

void add_attention_keys(const model_config& c, const std::string& p,
                        gguf_keys& out) {
  out.number(p + "attention.head_count", c.num_attention_heads);
  out.number(p + "attention.head_count_kv", 1); // absorbed: all share one
  out.real(p + "attention.layer_norm_rms_epsilon", c.rms_norm_eps);
  if (c.q_lora_rank > 0)
    out.number(p + "attention.q_lora_rank", c.q_lora_rank);
  out.number(p + "attention.kv_lora_rank", c.kv_lora_rank);
  out.number(p + "attention.key_length", c.kv_lora_rank + c.qk_rope_head_dim);
  out.number(p + "attention.value_length", c.kv_lora_rank);
  out.number(p + "attention.key_length_mla",
             c.qk_nope_head_dim + c.qk_rope_head_dim);
  out.number(p + "attention.value_length_mla", c.v_head_dim);
}

void add_rope_keys(const model_config& c, const std::string& p,
                   gguf_keys& out) {
  out.number(p + "rope.dimension_count", c.qk_rope_head_dim);
  out.real(p + "rope.freq_base", static_cast<float>(c.rope_theta));
  if (!c.rope_scaling)
    return;
  auto& y = *c.rope_scaling;
  auto real = [&](const char* key, double value) {
    out.real(p + "rope.scaling." + key, static_cast<float>(value));
  };
  out.text(p + "rope.scaling.type", "yarn");
  real("factor", y.factor);
  out.number(p + "rope.scaling.original_context_length",
             static_cast<uint32_t>(y.original_max_position_embeddings));
  real("yarn_beta_fast", y.beta_fast);
  real("yarn_beta_slow", y.beta_slow);
  real("yarn_log_multiplier", 0.1 * y.mscale_all_dim);
}

void add_expert_keys(const model_config& c, const std::string& p,
                     gguf_keys& out) {
  constexpr uint32_t softmax = 1, sigmoid = 2;
  out.number(p + "leading_dense_block_count", c.first_k_dense_replace);
  out.number(p + "expert_count", c.n_routed_experts);
  out.number(p + "expert_used_count", c.num_experts_per_tok);
  out.number(p + "expert_shared_count", c.n_shared_experts);
  out.number(p + "expert_feed_forward_length", c.moe_intermediate_size);
  out.real(p + "expert_weights_scale", c.routed_scaling_factor);
  out.flag(p + "expert_weights_norm", c.norm_topk_prob);
  out.number(p + "expert_gating_func",
             c.scoring_func == kernels::scoring::sigmoid ? sigmoid : softmax);
  out.number(p + "expert_group_count", c.n_group);
  out.number(p + "expert_group_used_count", c.topk_group);
}

class plan_list {
public:
  plan_list(const model_config& c, ggml_type weights)
    : c_(c), weights_(weights) {
  }

  void ends() {
    matrix("token_embd.weight", "model.embed_tokens.weight", c_.vocab_size,
           c_.hidden_size);
    vector("output_norm.weight", "model.norm.weight", c_.hidden_size);
    if (!c_.tie_word_embeddings)
      matrix("output.weight", "lm_head.weight", c_.vocab_size, c_.hidden_size);
  }

  void layer(uint32_t i) {
    auto to = "blk." + std::to_string(i) + ".";
    auto from = "model.layers." + std::to_string(i) + ".";
    vector(to + "attn_norm.weight", from + "input_layernorm.weight",
           c_.hidden_size);
    attention(to, from + "self_attn.");
    vector(to + "ffn_norm.weight", from + "post_attention_layernorm.weight",
           c_.hidden_size);
    if (c_.is_moe(i))
      experts(to, from + "mlp.");
    else
      mlp(to, "", {from + "mlp."}, c_.intermediate_size);
  }

  std::vector<gguf_plan> take() {
    return std::move(out_);
  }

private:
  ggml_type type_for(uint64_t cols) const {
    auto fits = weights_ != ggml_type::q8_0 || cols % 32 == 0;
    return fits ? weights_ : ggml_type::bf16;
  }

  void vector(const std::string& to, const std::string& from, uint64_t cols) {
    out_.push_back(
      {{to, {cols}, ggml_type::f32}, gguf_part::rows, {from}, 1, cols});
  }

  void matrix(const std::string& to, const std::string& from, uint64_t rows,
              uint64_t cols) {
    out_.push_back({{to, {cols, rows}, type_for(cols)},
                    gguf_part::rows,
                    {from},
                    rows,
                    cols});
  }

  void attention(const std::string& to, const std::string& from) {
    auto& c = c_;
    auto heads = uint64_t{c.num_attention_heads};
    auto q_rows = heads * (c.qk_nope_head_dim + c.qk_rope_head_dim);
    if (c.q_lora_rank > 0) {
      matrix(to + "attn_q_a.weight", from + "q_a_proj.weight", c.q_lora_rank,
             c.hidden_size);
      vector(to + "attn_q_a_norm.weight", from + "q_a_layernorm.weight",
             c.q_lora_rank);
      matrix(to + "attn_q_b.weight", from + "q_b_proj.weight", q_rows,
             c.q_lora_rank);
    } else {
      matrix(to + "attn_q.weight", from + "q_proj.weight", q_rows,
             c.hidden_size);
    }
    matrix(to + "attn_kv_a_mqa.weight", from + "kv_a_proj_with_mqa.weight",
           c.kv_lora_rank + c.qk_rope_head_dim, c.hidden_size);
    vector(to + "attn_kv_a_norm.weight", from + "kv_a_layernorm.weight",
           c.kv_lora_rank);
    absorbed(to, from + "kv_b_proj.weight");
    matrix(to + "attn_output.weight", from + "o_proj.weight", c.hidden_size,
           heads * c.v_head_dim);
  }

  void absorbed(const std::string& to, const std::string& from) {
    uint64_t heads = c_.num_attention_heads, latent = c_.kv_lora_rank;
    uint64_t nope = c_.qk_nope_head_dim, v = c_.v_head_dim;
    auto rows = heads * (nope + v);
    out_.push_back(
      {{to + "attn_k_b.weight", {nope, latent, heads}, type_for(nope)},
       gguf_part::k_heads,
       {from},
       rows,
       latent});
    out_.push_back(
      {{to + "attn_v_b.weight", {latent, v, heads}, type_for(latent)},
       gguf_part::v_heads,
       {from},
       rows,
       latent});
  }

  /// `kind`: "", "_exps" (one source for each expert) or "_shexp".
  void mlp(const std::string& to, const std::string& kind,
           const std::vector<std::string>& from, uint64_t inner) {
    auto add = [&](const std::string& name, uint64_t rows, uint64_t cols) {
      gguf_plan x;
      x.tensor
        = {to + "ffn_" + name + kind + ".weight", {cols, rows}, type_for(cols)};
      if (kind == "_exps")
        x.tensor.ne.push_back(from.size());
      for (auto& prefix : from)
        x.sources.push_back(prefix + name + "_proj.weight");
      x.rows = rows;
      x.cols = cols;
      out_.push_back(std::move(x));
    };
    add("gate", inner, c_.hidden_size);
    add("up", inner, c_.hidden_size);
    add("down", c_.hidden_size, inner);
  }

  void experts(const std::string& to, const std::string& from) {
    uint64_t count = c_.n_routed_experts;
    out_.push_back(
      {{to + "ffn_gate_inp.weight", {c_.hidden_size, count}, ggml_type::f32},
       gguf_part::rows,
       {from + "gate.weight"},
       count,
       c_.hidden_size});
    if (c_.has_correction_bias)
      vector(to + "exp_probs_b.bias", from + "gate.e_score_correction_bias",
             count);
    std::vector<std::string> all;
    for (uint64_t i = 0; i < count; ++i)
      all.push_back(from + "experts." + std::to_string(i) + ".");
    mlp(to, "_exps", all, c_.moe_intermediate_size);
    mlp(to, "_shexp", {from + "shared_experts."},
        uint64_t{c_.n_shared_experts} * c_.moe_intermediate_size);
  }

  const model_config& c_;
  ggml_type weights_;
  std::vector<gguf_plan> out_;
};

} // namespace

result<void> check_gguf_can_hold(const model_config& c) {
  if (c.q_lora_rank == 0 && !is_lite(c))
    return cannot_hold("without q_lora_rank it must have 26 or 27 layers");
  if (c.q_lora_rank > 0 && is_lite(c))
    return cannot_hold("with " + std::to_string(c.num_hidden_layers)
                       + " layers it must have no q_lora_rank");
  if (c.num_moe_layers() > 0 && c.n_shared_experts == 0)
    return cannot_hold("it must have shared experts");
  if (c.group_scoring == kernels::group_score::best && c.n_group > 1
      && c.topk_group < c.n_group)
    return cannot_hold("it chooses groups of experts by their two best, this "
                       "model by their best one");
  if (c.rope_scaling
      && (c.rope_scaling->mscale_all_dim == 0
          || c.rope_scaling->mscale != c.rope_scaling->mscale_all_dim))
    return cannot_hold("rope_scaling's mscale and mscale_all_dim must be the "
                       "same and not 0");
  if (c.rope_scaling
      && (c.rope_scaling->attention_factor || !c.rope_scaling->truncate))
    return cannot_hold("rope_scaling must do without attention_factor and "
                       "truncate");
  return {};
}

void add_model_keys(const model_config& c, const std::string& name,
                    ggml_type weights, gguf_keys& out) {
  const std::string p = "deepseek2.";
  add_general_keys(name, weights, out);
  out.number(p + "vocab_size", c.vocab_size);
  out.number(p + "context_length", c.max_position_embeddings);
  out.number(p + "embedding_length", c.hidden_size);
  out.number(p + "block_count", c.num_hidden_layers);
  out.number(p + "feed_forward_length", c.intermediate_size);
  add_attention_keys(c, p, out);
  add_rope_keys(c, p, out);
  add_expert_keys(c, p, out);
}

std::vector<gguf_plan> gguf_layout(const model_config& c, ggml_type weights) {
  plan_list list{c, weights};
  list.ends();
  for (uint32_t i = 0; i < c.num_hidden_layers; ++i)
    list.layer(i);
  return list.take();
}

} // namespace troupe
