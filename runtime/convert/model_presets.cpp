#include "runtime/convert/model_presets.hpp"

#include <nlohmann/json.hpp>

namespace troupe {

using json = nlohmann::ordered_json;

namespace {

/// The fields in which presets differ, and what they are called.
struct preset {
  uint32_t layers, dense, hidden, intermediate, moe_intermediate;
  uint32_t experts, shared, used, groups, groups_used;
  uint32_t heads, q_lora, kv_lora, nope, rope, v;
  uint32_t vocab;
  uint32_t mtp;
  bool has_yarn;
};

/// In the order of their names.
constexpr std::array<preset, preset_names.size()> presets = {{
  {6, 1, 256, 768, 128, 32, 1, 4, 4, 2, 8, 128, 128, 32, 32, 32, 4096, 0,
   false},
  {12, 1, 1024, 2816, 256, 64, 1, 6, 8, 4, 8, 384, 512, 128, 64, 128, 16384, 0,
   true},
  {6, 1, 2048, 10944, 1408, 64, 2, 6, 8, 4, 16, 768, 512, 128, 64, 128, 32768,
   0, true},
  {61, 3, 256, 640, 64, 256, 1, 8, 8, 4, 8, 128, 128, 32, 32, 32, 4096, 1,
   true},
}};

void add_shape(json& out, const preset& x) {
  out["vocab_size"] = x.vocab;
  out["hidden_size"] = x.hidden;
  out["num_hidden_layers"] = x.layers;
  out["first_k_dense_replace"] = x.dense;
  out["intermediate_size"] = x.intermediate;
  out["moe_intermediate_size"] = x.moe_intermediate;
  out["n_routed_experts"] = x.experts;
  out["n_shared_experts"] = x.shared;
  out["num_experts_per_tok"] = x.used;
  out["n_group"] = x.groups;
  out["topk_group"] = x.groups_used;
  out["num_attention_heads"] = out["num_key_value_heads"] = x.heads;
  out["q_lora_rank"] = x.q_lora;
  out["kv_lora_rank"] = x.kv_lora;
  out["qk_nope_head_dim"] = x.nope;
  out["qk_rope_head_dim"] = x.rope;
  out["v_head_dim"] = x.v;
  out["num_nextn_predict_layers"] = x.mtp;
}

void add_what_all_share(json& out) {
  out["architectures"] = {"DeepseekV3ForCausalLM"};
  out["model_type"] = "deepseek_v3";
  out["hidden_act"] = "silu";
  out["rms_norm_eps"] = 1e-6;
  out["rope_theta"] = 10000.0;
  out["routed_scaling_factor"] = 2.5;
  out["norm_topk_prob"] = true;
  out["scoring_func"] = "sigmoid";
  out["topk_method"] = "noaux_tc";
  out["moe_layer_freq"] = 1;
  out["attention_bias"] = false;
  out["tie_word_embeddings"] = false;
  out["torch_dtype"] = "bfloat16";
  auto& fp8 = out["quantization_config"];
  fp8["quant_method"] = "fp8";
  fp8["fmt"] = "e4m3";
  fp8["activation_scheme"] = "dynamic";
  fp8["weight_block_size"] = {128, 128};
}

void add_positions(json& out, bool has_yarn) {
  out["max_position_embeddings"] = has_yarn ? 163840 : 16384;
  out["rope_scaling"] = nullptr;
  if (!has_yarn)
    return;
  auto& yarn = out["rope_scaling"];
  yarn["type"] = "yarn";
  yarn["factor"] = 40;
  yarn["original_max_position_embeddings"] = 4096;
  yarn["beta_fast"] = 32;
  yarn["beta_slow"] = 1;
  yarn["mscale"] = yarn["mscale_all_dim"] = 1.0;
}

} // namespace

result<std::string> preset_config(std::string_view name) {
  for (size_t i = 0; i < presets.size(); ++i) {
    if (preset_names[i] != name)
      continue;
    json out;
    add_what_all_share(out);
    add_shape(out, presets[i]);
    add_positions(out, presets[i].has_yarn);
    return out.dump(2) + "\n";
  }
  return failure{errc::invalid_input,
                 "there is no preset \"" + std::string{name}
                   + "\", only micro, small, medium and v3-mini"};
}

} // namespace troupe
