#include "runtime/checkpoint/config.hpp"

#include "runtime/checkpoint/regular_file.hpp"
#include "runtime/checkpoint/rope_config.hpp"
#include "runtime/json/field_reader.hpp"

namespace troupe {

namespace {

constexpr uint64_t max_config_bytes = 4 << 20;
constexpr uint32_t max_width = 1 << 20;

constexpr std::string_view origin = "says where the file comes from";
constexpr std::string_view training = "only training has a use for it";
constexpr std::string_view returned = "what a Python call hands back";
constexpr std::string_view speed = "how it is computed, not what";
constexpr std::string_view classes = "names for classifiers";
constexpr std::string_view generation = "generation_config.json says it";

constexpr harmless_key harmless[] = {
  {"model_type", "architectures decides"},
  {"auto_map", "names the Python code of the architecture"},
  {"dtype", "every tensor says its own, --activations the rest"},
  {"torch_dtype", "every tensor says its own, --activations the rest"},
  {"pad_token_id", "nothing is padded"},
  {"sep_token_id", "nothing is separated"},
  {"decoder_start_token_id", "there is no encoder before the decoder"},
  {"is_decoder", "the architecture is one"},
  {"tokenizer_class", "tokenizer.json decides"},
  {"_name_or_path", origin},
  {"name_or_path", origin},
  {"_commit_hash", origin},
  {"transformers_version", origin},
  {"trust_remote_code", origin},
  {"unsloth_version", origin},
  {"unsloth_fixed", origin},
  {"attention_dropout", training},
  {"initializer_range", training},
  {"aux_loss_alpha", training},
  {"router_aux_loss_coef", training},
  {"seq_aux", training},
  {"gradient_checkpointing", training},
  {"finetuning_task", training},
  {"task_specific_params", training},
  {"problem_type", training},
  {"output_attentions", returned},
  {"output_hidden_states", returned},
  {"output_router_logits", returned},
  {"output_scores", returned},
  {"return_dict", returned},
  {"return_dict_in_generate", returned},
  {"use_return_dict", returned},
  {"ep_size", speed},
  {"pretraining_tp", speed},
  {"use_cache", speed},
  {"chunk_size_feed_forward", speed},
  {"torchscript", speed},
  {"use_bfloat16", speed},
  {"_attn_implementation", speed},
  {"_attn_implementation_autoset", speed},
  {"attn_implementation", speed},
  {"_experts_implementation", speed},
  {"id2label", classes},
  {"label2id", classes},
  {"num_labels", classes},
  {"tf_legacy_loss", classes},
  {"max_length", generation},
  {"early_stopping", generation},
  {"length_penalty", generation},
  {"num_return_sequences", generation},
  {"remove_invalid_values", generation},
};

struct neutral_key {
  std::string_view name;
  std::string_view value; ///< JSON: the one that changes nothing.
};

/// What would change a number or a token and is not done here.
constexpr neutral_key neutral[] = {
  {"use_mla", "true"},
  {"mlp_bias", "false"},
  {"use_sliding_window", "false"},
  {"partial_rotary_factor", "1"},
  {"logit_scale", "1"},
  {"pruned_heads", "{}"},
  {"is_encoder_decoder", "false"},
  {"add_cross_attention", "false"},
  {"tie_encoder_decoder", "false"},
  // Written by old versions of transformers, always with these values.
  {"do_sample", "false"},
  {"temperature", "1"},
  {"top_k", "50"},
  {"top_p", "1"},
  {"typical_p", "1"},
  {"num_beams", "1"},
  {"num_beam_groups", "1"},
  {"diversity_penalty", "0"},
  {"repetition_penalty", "1"},
  {"no_repeat_ngram_size", "0"},
  {"encoder_no_repeat_ngram_size", "0"},
  {"min_length", "0"},
};

result<field_reader> read_object(const std::filesystem::path& path) {
  auto text = read_regular_file(path, max_config_bytes);
  if (!text)
    return text.why();
  return field_reader::parse(path.filename().string(), *text);
}

/// A field that follows from others may be there if it agrees with them.
void read_again(field_reader& in, std::string_view name, uint32_t value) {
  if (in.has(name) && in.integer(name, 0, UINT32_MAX) != value)
    in.refuse(name, "must be " + std::to_string(value));
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
  out.q_lora_rank = in.integer_or("q_lora_rank", 0, max_width, 0);
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
  read_again(in, "num_key_value_heads", out.num_attention_heads);
  read_again(in, "head_dim", out.qk_rope_head_dim);
  read_again(in, "qk_head_dim", out.qk_nope_head_dim + out.qk_rope_head_dim);
}

/// What layers are, one by one, where a file says so.
void read_layer_types(field_reader& in, const model_config& c) {
  auto attention = in.texts("layer_types", 4096);
  if (in.has("layer_types")
      && attention
           != std::vector<std::string>(c.num_hidden_layers, "full_attention"))
    in.refuse("layer_types", "must be full_attention for every layer");
  std::vector<std::string> kinds(c.num_hidden_layers, "sparse");
  for (uint32_t i = 0; i < c.first_k_dense_replace; ++i)
    kinds[i] = "dense";
  if (in.has("mlp_layer_types") && in.texts("mlp_layer_types", 4096) != kinds)
    in.refuse("mlp_layer_types", "must be what first_k_dense_replace says");
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
  read_again(in, "num_experts", out.n_routed_experts);
  read_again(in, "num_local_experts", out.n_routed_experts);
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

constexpr harmless_key harmless_quantization[] = {
  {"modules_to_not_convert", "every tensor says its own type"},
  {"ignored_layers", "every tensor says its own type"},
};

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
  out.ue8m0 = q->text_or("scale_fmt", "float") == "ue8m0";
  if (!out.ue8m0 && q->text_or("scale_fmt", "float") != "float")
    q->refuse("scale_fmt", "must be float or ue8m0");
  q->must_be("dequantize", "false");
  q->must_be("is_checkpoint_fp8_serialized", "true");
  q->refuse_unknown(harmless_quantization);
  in.absorb(*q);
}

void read_tokens(field_reader& in, model_config& out) {
  auto last = static_cast<int32_t>(out.vocab_size) - 1;
  if (auto ids = in.integers("bos_token_id", 0, last, 1); !ids.empty())
    out.bos_token_id = ids.front();
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
  read_layer_types(in, out);
  read_rope(in, out);
  read_quantization(in, out);
  read_tokens(in, out);
  for (auto& x : neutral)
    in.must_be(x.name, x.value);
  in.refuse_unknown(harmless);
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

result<void> check_activations(const model_config& config,
                               precision activations) {
  if (!config.ue8m0 || activations != precision::fp8)
    return {};
  return failure{errc::invalid_input,
                 "config.json: quantization_config: scale_fmt ue8m0 asks for "
                 "FP8 activations whose scales are powers of two, which are "
                 "not supported: take bf16 or fp32 activations"};
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
  auto generation = read_generation_config(model_dir, config->vocab_size);
  if (!generation)
    return generation.why();
  config->bos_token_id
    = generation->bos_token_id.value_or(config->bos_token_id);
  if (!generation->eos_token_ids.empty())
    config->eos_token_ids = generation->eos_token_ids;
  config->generation = std::move(*generation);
  return config;
}

} // namespace troupe
