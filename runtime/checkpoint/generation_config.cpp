#include "runtime/checkpoint/generation_config.hpp"

#include "runtime/checkpoint/regular_file.hpp"
#include "runtime/json/field_reader.hpp"

namespace troupe {

namespace {

constexpr auto file_name = "generation_config.json";
constexpr uint64_t max_bytes = 4 << 20;

constexpr std::string_view origin = "says where the file comes from";
constexpr std::string_view request = "requests say it themselves";
constexpr std::string_view returned = "what a Python call hands back";
constexpr std::string_view speed = "how it is computed, not what";
constexpr std::string_view no_beams = "only beams have a use for it";

constexpr harmless_key harmless_here[] = {
  {"_from_model_config", origin},
  {"_commit_hash", origin},
  {"transformers_version", origin},
  {"trust_remote_code", origin},
  {"pad_token_id", "nothing is padded"},
  {"decoder_start_token_id", "there is no encoder before the decoder"},
  {"max_length", request},
  {"max_new_tokens", request},
  {"max_time", request},
  {"num_return_sequences", request},
  {"output_attentions", returned},
  {"output_hidden_states", returned},
  {"output_logits", returned},
  {"output_scores", returned},
  {"return_dict_in_generate", returned},
  {"use_cache", speed},
  {"cache_implementation", speed},
  {"cache_config", speed},
  {"prefill_chunk_size", speed},
  {"compile_config", speed},
  {"disable_compile", speed},
  {"low_memory", speed},
  {"is_assistant", speed},
  {"num_assistant_tokens", speed},
  {"num_assistant_tokens_schedule", speed},
  {"assistant_confidence_threshold", speed},
  {"assistant_early_exit", speed},
  {"assistant_lookbehind", speed},
  {"target_lookbehind", speed},
  {"prompt_lookup_num_tokens", speed},
  {"max_matching_ngram_size", speed},
  {"early_stopping", no_beams},
  {"length_penalty", no_beams},
  {"renormalize_logits", "softmax makes any sum 1"},
  {"remove_invalid_values", "logits that are no numbers end a request"},
};

struct neutral_key {
  std::string_view name;
  std::string_view value; ///< JSON: the one that changes nothing.
};

/// What would change tokens and is not done here.
constexpr neutral_key neutral[] = {
  {"num_beams", "1"},
  {"num_beam_groups", "1"},
  {"diversity_penalty", "0"},
  {"penalty_alpha", "0"},
  {"encoder_repetition_penalty", "1"},
  {"no_repeat_ngram_size", "0"},
  {"encoder_no_repeat_ngram_size", "0"},
  {"min_length", "0"},
  {"min_new_tokens", "0"},
  {"typical_p", "1"},
  {"epsilon_cutoff", "0"},
  {"eta_cutoff", "0"},
  {"guidance_scale", "1"},
  {"suppress_tokens", "[]"},
  {"begin_suppress_tokens", "[]"},
  {"bad_words_ids", "[]"},
  {"stop_strings", "[]"},
  {"token_healing", "false"},
};

generation_defaults read(field_reader& in, uint32_t vocab_size) {
  generation_defaults out;
  auto last = static_cast<int32_t>(vocab_size) - 1;
  if (auto ids = in.integers("bos_token_id", 0, last, 1); !ids.empty())
    out.bos_token_id = ids.front();
  out.eos_token_ids = in.integers("eos_token_id", 0, last, 64);
  out.do_sample = in.boolean_or("do_sample", false);
  out.temperature = static_cast<float>(in.number_or("temperature", 0, 100, 1));
  out.top_p = static_cast<float>(in.number_or("top_p", 1e-6, 1, 1));
  out.top_k = in.integer_or("top_k", 0, 1 << 24, 0);
  auto number = [&](const char* name, double least, double most, double usual) {
    return static_cast<float>(in.number_or(name, least, most, usual));
  };
  out.min_p = number("min_p", 0, 1, 0);
  out.repetition_penalty = number("repetition_penalty", 0.01, 100, 1);
  out.presence_penalty = number("presence_penalty", -2, 2, 0);
  out.frequency_penalty = number("frequency_penalty", -2, 2, 0);
  for (auto& x : neutral)
    in.must_be(x.name, x.value);
  in.refuse_unknown(harmless_here);
  return out;
}

} // namespace

result<generation_defaults> parse_generation_config(std::string_view text,
                                                    uint32_t vocab_size) {
  auto in = field_reader::parse(file_name, text);
  if (!in)
    return in.why();
  auto out = read(*in, vocab_size);
  if (!in->trouble().empty())
    return failure{errc::invalid_input, in->trouble()};
  return out;
}

result<generation_defaults>
read_generation_config(const std::filesystem::path& model_dir,
                       uint32_t vocab_size) {
  auto text = read_regular_file(model_dir / file_name, max_bytes);
  if (text)
    return parse_generation_config(*text, vocab_size);
  if (text.why().code == errc::not_found)
    return generation_defaults{};
  return text.why();
}

} // namespace troupe
