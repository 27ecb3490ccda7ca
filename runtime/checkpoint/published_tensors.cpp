#include "runtime/checkpoint/published_tensors.hpp"

namespace troupe {

namespace {

class tensor_list {
public:
  explicit tensor_list(const model_config& c) : c_(c) {
  }

  void table(const std::string& name, uint64_t rows, int exponent) {
    table(name, rows, c_.hidden_size, exponent);
  }

  void table(const std::string& name, uint64_t rows, uint64_t cols,
             int exponent) {
    add({name, tensor_type::bf16, {rows, cols}},
        {name, random_kind::table, rows, cols, exponent});
  }

  void norm(const std::string& name, uint64_t cols) {
    add({name, tensor_type::bf16, {cols}}, {name, random_kind::norm, 1, cols});
  }

  void bias(const std::string& name, uint64_t cols) {
    add({name, tensor_type::f32, {cols}}, {name, random_kind::bias, 1, cols});
  }

  void linear(const std::string& name, uint64_t rows, uint64_t cols) {
    random_tensor numbers{name, random_kind::values, rows, cols,
                          random_exponent(cols)};
    if (!c_.fp8)
      return add({name, tensor_type::bf16, {rows, cols}}, numbers);
    numbers.kind = random_kind::codes;
    add({name, tensor_type::f8_e4m3, {rows, cols}}, numbers);
    numbers.kind = random_kind::scales;
    add({name + "_scale_inv",
         tensor_type::f32,
         {(rows + 127) / 128, (cols + 127) / 128}},
        numbers);
  }

  void ends() {
    table("model.embed_tokens.weight", c_.vocab_size, -6);
    norm("model.norm.weight", c_.hidden_size);
    if (!c_.tie_word_embeddings)
      table("lm_head.weight", c_.vocab_size,
            random_exponent(c_.hidden_size, true));
  }

  void layer(uint32_t i) {
    auto p = "model.layers." + std::to_string(i) + ".";
    norm(p + "input_layernorm.weight", c_.hidden_size);
    norm(p + "post_attention_layernorm.weight", c_.hidden_size);
    attention(p + "self_attn.");
    if (c_.is_moe(i))
      experts(p + "mlp.");
    else
      mlp(p + "mlp.", c_.intermediate_size);
  }

  /// Beside a layer like the others, with experts.
  void next_token_ends(uint32_t i) {
    auto p = "model.layers." + std::to_string(i) + ".";
    table(p + "embed_tokens.weight", c_.vocab_size, -6);
    norm(p + "enorm.weight", c_.hidden_size);
    norm(p + "hnorm.weight", c_.hidden_size);
    uint64_t cols = 2 * uint64_t{c_.hidden_size};
    table(p + "eh_proj.weight", c_.hidden_size, cols, random_exponent(cols));
    norm(p + "shared_head.norm.weight", c_.hidden_size);
    table(p + "shared_head.head.weight", c_.vocab_size,
          random_exponent(c_.hidden_size, true));
  }

  std::vector<published_tensor> take() {
    return std::move(out_);
  }

private:
  void add(tensor_entry entry, random_tensor numbers) {
    out_.push_back({std::move(entry), std::move(numbers)});
  }

  void attention(const std::string& p) {
    auto heads = uint64_t{c_.num_attention_heads};
    auto q_rows = heads * (c_.qk_nope_head_dim + c_.qk_rope_head_dim);
    if (c_.q_lora_rank > 0)
      norm(p + "q_a_layernorm.weight", c_.q_lora_rank);
    norm(p + "kv_a_layernorm.weight", c_.kv_lora_rank);
    if (c_.q_lora_rank > 0) {
      linear(p + "q_a_proj.weight", c_.q_lora_rank, c_.hidden_size);
      linear(p + "q_b_proj.weight", q_rows, c_.q_lora_rank);
    } else {
      linear(p + "q_proj.weight", q_rows, c_.hidden_size);
    }
    linear(p + "kv_a_proj_with_mqa.weight",
           c_.kv_lora_rank + c_.qk_rope_head_dim, c_.hidden_size);
    linear(p + "kv_b_proj.weight",
           heads * (c_.qk_nope_head_dim + c_.v_head_dim), c_.kv_lora_rank);
    linear(p + "o_proj.weight", c_.hidden_size, heads * c_.v_head_dim);
  }

  void mlp(const std::string& p, uint64_t inner) {
    linear(p + "gate_proj.weight", inner, c_.hidden_size);
    linear(p + "up_proj.weight", inner, c_.hidden_size);
    linear(p + "down_proj.weight", c_.hidden_size, inner);
  }

  void experts(const std::string& p) {
    table(p + "gate.weight", c_.n_routed_experts,
          random_exponent(c_.hidden_size));
    if (c_.has_correction_bias)
      bias(p + "gate.e_score_correction_bias", c_.n_routed_experts);
    for (uint32_t i = 0; i < c_.n_routed_experts; ++i)
      mlp(p + "experts." + std::to_string(i) + ".", c_.moe_intermediate_size);
    if (c_.n_shared_experts > 0)
      mlp(p + "shared_experts.",
          uint64_t{c_.n_shared_experts} * c_.moe_intermediate_size);
  }

  const model_config& c_;
  std::vector<published_tensor> out_;
};

} // namespace

std::vector<published_tensor> published_tensors(const model_config& c) {
  tensor_list list{c};
  list.ends();
  for (uint32_t i = 0; i < c.num_hidden_layers; ++i)
    list.layer(i);
  for (uint32_t i = 0; i < c.num_nextn_predict_layers; ++i) {
    list.layer(c.num_hidden_layers + i);
    list.next_token_ends(c.num_hidden_layers + i);
  }
  return list.take();
}

} // namespace troupe
