#include "runtime/http/known_fields.hpp"

#include <nlohmann/json.hpp>

#include <span>

namespace troupe::http {

namespace {

using nlohmann::json;

struct known_field {
  std::string_view name;
  /// JSON: what the field is anyway; or empty.
  std::string_view usual = {};
};

constexpr known_field both_kinds[] = {
  // what else chooses tokens
  {"use_beam_search"},
  {"length_penalty", "1"},
  {"early_stopping"},
  {"allowed_token_ids"},
  {"bad_words"},
  {"logits_processors"},
  {"custom_logit_processor"},
  {"custom_params"},
  {"typical_p", "1"},
  {"tfs_z", "1"},
  {"top_a"},
  {"top_n_sigma", "-1"},
  {"xtc_probability"},
  {"dry_multiplier"},
  {"dynatemp_range"},
  {"mirostat"},
  {"mirostat_mode"},
  {"repeat_penalty", "1"},
  {"encoder_repetition_penalty", "1"},
  {"no_repeat_ngram_size"},
  {"epsilon_cutoff"},
  {"eta_cutoff"},
  {"guidance_scale", "1"},
  {"suppress_tokens"},
  {"samplers"},
  // grammars
  {"guided_whitespace_pattern"},
  {"structural_tag"},
  {"json_schema"},
  {"regex"},
  {"ebnf"},
  {"grammar"},
  // other lengths and ends
  {"n_predict", "-1"},
  {"n_keep"},
  {"max_new_tokens"},
  {"min_new_tokens"},
  {"stop_regex"},
  {"no_stop_trim"},
  {"truncate_prompt_tokens"},
  {"t_max_predict_ms"},
  // what else would come back
  {"prompt_logprobs"},
  {"return_tokens_as_token_ids"},
  {"return_token_ids"},
  {"return_hidden_states"},
  {"n_probs"},
  {"timings_per_token"},
  // what else would go in, or where
  {"prompt_embeds"},
  {"input_embeds"},
  {"mm_processor_kwargs"},
  {"lora_path"},
  {"session_params"},
  {"kv_transfer_params"},
  {"vllm_xargs"},
};

constexpr known_field chat_only[] = {
  {"functions"},
  {"function_call", R"("none")"},
  {"audio"},
  {"modalities", R"(["text"])"},
  {"web_search_options"},
  {"store"},
  {"echo"},
  {"documents"},
  {"chat_template"},
  {"add_special_tokens"},
  {"thinking_token_budget"},
  {"thinking_budget_tokens", "-1"},
  {"include_reasoning", "true"},
  {"separate_reasoning", "true"},
  {"stream_reasoning", "true"},
};

constexpr known_field text_only[] = {
  {"suffix"},
};

constexpr known_field messages_only[] = {
  {"n", "1"},
  {"stop"},
  {"logprobs"},
  {"container"},
  {"mcp_servers"},
  {"context_management",
   R"({"edits":[{"keep":"all","type":"clear_thinking_20251015"}]})"},
};

constexpr known_field response_only[] = {
  {"n", "1"},         {"stop"},         {"background"},
  {"conversation"},   {"prompt"},       {"context_management"},
  {"max_tool_calls"}, {"top_logprobs"}, {"truncation", R"("disabled")"},
};

std::span<const known_field> only_of(completion_kind kind) {
  switch (kind) {
    case completion_kind::text:
      return text_only;
    case completion_kind::messages:
      return messages_only;
    case completion_kind::response:
      return response_only;
    case completion_kind::chat:
      break;
  }
  return chat_only;
}

bool is_empty(const json& x) {
  return x == false || x == 0 || x == ""
         || ((x.is_array() || x.is_object()) && x.empty());
}

void refuse(field_reader& in, const known_field& field) {
  const auto* x = in.find(field.name);
  auto usual = field.usual.empty() ? json() : json::parse(field.usual);
  // Where there is something to be without, "false" is no way to say so.
  bool asks = x && *x != usual && (usual == true || !is_empty(*x));
  if (asks)
    in.refuse(field.name,
              field.usual.empty()
                ? std::string{"not supported by this server"}
                : "only " + std::string{field.usual} + " is supported",
              field_fault::unsupported);
}

} // namespace

void refuse_known_fields(field_reader& in, completion_kind kind) {
  for (auto& x : both_kinds)
    refuse(in, x);
  for (auto& x : only_of(kind))
    refuse(in, x);
}

} // namespace troupe::http
