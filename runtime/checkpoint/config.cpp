#include "runtime/checkpoint/config.hpp"

#include "runtime/checkpoint/regular_file.hpp"
#include "runtime/json/field_reader.hpp"

namespace troupe {

namespace {

constexpr size_t max_config_bytes = 4 << 20;
constexpr uint32_t max_width = 1 << 20;

result<field_reader> read_object(const std::filesystem::path& path) {
  auto text = read_regular_file(path, max_config_bytes);
  if (!text)
    return text.why();
  return field_reader::parse(path.filename().string(), *text);
}

void read_sizes(field_reader& in, model_config& out) {
  out.vocab_size = in.integer("vocab_size", 1, 1 << 24);
  out.hidden_size = in.integer("hidden_size", 1, max_width);
  out.num_hidden_layers = in.integer("num_hidden_layers", 1, 4096);
  out.first_k_dense_replace = in.integer("first_k_dense_replace", 0,
                                         out.num_hidden_layers);
  out.intermediate_size = in.integer("intermediate_size", 1, max_width);
  out.max_position_embeddings = in.integer("max_position_embeddings", 1,
                                           1 << 26);
  out.rms_norm_eps = static_cast<float>(in.number("rms_norm_eps", 0, 1));
  out.tie_word_embeddings = in.boolean_or("tie_word_embeddings", false);
  out.num_nextn_predict_layers = in.integer_or("num_nextn_predict_layers", 0,
                                               64, 0);
}

void read_attention(field_reader& in, model_config& out) {
  out.num_attention_heads = in.integer("num_attention_heads", 1, 4096);
  out.q_lora_rank = in.integer_or("q_lora_rank", 1, max_width, 0);
  out.kv_lora_rank = in.integer("kv_lora_rank", 1, 1 << 16);
  out.qk_nope_head_dim = in.integer("qk_nope_head_dim", 1, 1 << 16);
  out.qk_rope_head_dim = in.integer("qk_rope_head_dim", 2, 1 << 16);
  out.v_head_dim = in.integer("v_head_dim", 1, 1 << 16);
  if (out.qk_rope_head_dim % 2 != 0)
    in.refuse("qk_rope_head_dim", "must be even");
  if (in.boolean_or("attention_bias", false))
    in.refuse("attention_bias", "must be false");
  if (!in.boolean_or("rope_interleave", true))
    in.refuse("rope_interleave", "must be true");
  if (in.text_or("hidden_act", "silu") != "silu")
    in.refuse("hidden_act", "must be silu");
}

void read_experts(field_reader& in, model_config& out) {
  out.moe_intermediate_size = in.integer("moe_intermediate_size", 1, max_width);
  out.n_routed_experts = in.integer("n_routed_experts", 1, 65535);
  out.n_shared_experts = in.integer_or("n_shared_experts", 0, 1024, 0);
  out.num_experts_per_tok = in.integer("num_experts_per_tok", 1,
                                       out.n_routed_experts);
  out.n_group = in.integer_or("n_group", 1, out.n_routed_experts, 1);
  out.topk_group = in.integer_or("topk_group", 1, out.n_group, 1);
  out.routed_scaling_factor
    = static_cast<float>(in.number("routed_scaling_factor", 0, 1e6));
  if (in.integer_or("moe_layer_freq", 0, 4096, 1) != 1)
    in.refuse("moe_layer_freq", "must be 1");
}

/// V3: sigmoid scores, a bias for the choice, groups by their two best.
void read_v3_gate(field_reader& in, model_config& out) {
  out.norm_topk_prob = in.boolean_or("norm_topk_prob", true);
  if (in.text_or("scoring_func", "sigmoid") != "sigmoid")
    in.refuse("scoring_func", "must be sigmoid for " + out.architecture);
  if (in.text_or("topk_method", "noaux_tc") != "noaux_tc")
    in.refuse("topk_method", "must be noaux_tc for " + out.architecture);
}

/// V2: softmax scores, no bias, groups (if any) by their best.
void read_v2_gate(field_reader& in, model_config& out) {
  out.scoring_func = kernels::scoring::softmax;
  out.group_scoring = kernels::group_score::best;
  out.has_correction_bias = false;
  out.norm_topk_prob = in.boolean_or("norm_topk_prob", false);
  // DeepSeek's V2 code either normalises or scales.
  if (out.norm_topk_prob && out.num_experts_per_tok > 1)
    out.routed_scaling_factor = 1;
  if (in.text_or("scoring_func", "softmax") != "softmax")
    in.refuse("scoring_func", "must be softmax for " + out.architecture);
  auto method = in.text_or("topk_method", "greedy");
  if (method == "greedy")
    out.n_group = out.topk_group = 1;
  else if (method != "group_limited_greedy")
    in.refuse("topk_method",
              "must be greedy or group_limited_greedy for " + out.architecture);
}

void check_groups(field_reader& in, const model_config& c) {
  if (!in.trouble().empty())
    return;
  if (c.n_routed_experts % c.n_group != 0)
    return in.refuse("n_group", "must divide n_routed_experts");
  auto group = c.n_routed_experts / c.n_group;
  if (c.num_experts_per_tok > c.topk_group * group)
    in.refuse("num_experts_per_tok", "must fit into topk_group groups");
  if (c.n_group > 1 && group < 2
      && c.group_scoring == kernels::group_score::sum_of_best_two)
    in.refuse("n_group", "must leave two experts in a group");
}

void read_rope(field_reader& in, model_config& out) {
  out.rope_theta = in.number_or("rope_theta", 1.001, 1e12, 10000);
  auto s = in.object("rope_scaling");
  if (!s)
    return;
  auto type = s->text_or("rope_type", s->text_or("type", "yarn"));
  if (type == "default")
    return;
  if (type != "yarn")
    s->refuse("type", "must be yarn or default");
  yarn_scaling y;
  y.factor = s->number("factor", 1, 1e6);
  y.original_max_position_embeddings
    = s->number("original_max_position_embeddings", 1, 1e9);
  y.beta_fast = s->number_or("beta_fast", 1e-3, 1e6, y.beta_fast);
  y.beta_slow = s->number_or("beta_slow", 1e-3, 1e6, y.beta_slow);
  y.mscale = s->number_or("mscale", 0, 100, y.mscale);
  y.mscale_all_dim = s->number_or("mscale_all_dim", 0, 100, y.mscale_all_dim);
  in.absorb(*s);
  out.rope_scaling = y;
}

void read_quantization(field_reader& in, model_config& out) {
  auto q = in.object("quantization_config");
  if (!q)
    return;
  out.fp8 = true;
  if (q->text_or("quant_method", "") != "fp8")
    q->refuse("quant_method", "must be fp8");
  if (q->text_or("fmt", "e4m3") != "e4m3")
    q->refuse("fmt", "must be e4m3");
  if (q->text_or("activation_scheme", "dynamic") != "dynamic")
    q->refuse("activation_scheme", "must be dynamic");
  if (q->integers("weight_block_size", 1, 1 << 20, 2)
      != std::vector<int32_t>{128, 128})
    q->refuse("weight_block_size", "must be [128, 128]");
  in.absorb(*q);
}

void read_tokens(field_reader& in, model_config& out) {
  auto last = static_cast<int32_t>(out.vocab_size) - 1;
  if (auto ids = in.integers("bos_token_id", 0, last, 1); !ids.empty())
    out.bos_token_id = ids.front();
  if (in.has("eos_token_id"))
    out.eos_token_ids = in.integers("eos_token_id", 0, last, 64);
}

void read_all(field_reader& in, model_config& out) {
  out.architecture = in.only_text("architectures");
  auto is_v2 = out.architecture == "DeepseekV2ForCausalLM";
  if (!is_v2 && out.architecture != "DeepseekV3ForCausalLM")
    in.refuse("architectures",
              "must be DeepseekV3ForCausalLM or DeepseekV2ForCausalLM");
  read_sizes(in, out);
  read_attention(in, out);
  read_experts(in, out);
  if (is_v2)
    read_v2_gate(in, out);
  else
    read_v3_gate(in, out);
  check_groups(in, out);
  read_rope(in, out);
  read_quantization(in, out);
  read_tokens(in, out);
}

result<model_config> read_config(field_reader& in) {
  model_config out;
  read_all(in, out);
  if (!in.trouble().empty())
    return failure{errc::invalid_input, in.trouble()};
  return out;
}

} // namespace

kernels::row_layout model_config::dispatch_layout(precision activations) const {
  if (activations == precision::fp32)
    return {kernels::dtype::f32, hidden_size};
  if (activations == precision::fp8 && fp8)
    return {kernels::dtype::f8_e4m3, hidden_size};
  return {kernels::dtype::bf16, hidden_size};
}

kernels::dtype model_config::combine_type(precision activations) const {
  return activations == precision::fp32 ? kernels::dtype::f32
                                        : kernels::dtype::bf16;
}

result<model_config> parse_model_config(std::string what,
                                        std::string_view text) {
  auto in = field_reader::parse(std::move(what), text);
  return in ? read_config(*in) : result<model_config>{in.why()};
}

result<model_config> read_model_config(const std::filesystem::path& model_dir) {
  auto in = read_object(model_dir / "config.json");
  if (!in)
    return in.why();
  auto config = read_config(*in);
  if (!config)
    return config;
  auto& out = *config;
  auto generation = read_object(model_dir / "generation_config.json");
  if (!generation)
    return generation.why().code == errc::not_found
             ? result<model_config>{out}
             : result<model_config>{generation.why()};
  read_tokens(*generation, out);
  if (!generation->trouble().empty())
    return failure{errc::invalid_input, generation->trouble()};
  return out;
}

} // namespace troupe
