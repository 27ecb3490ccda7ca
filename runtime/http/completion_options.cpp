#include "runtime/http/completion_options.hpp"

#include "runtime/http/known_fields.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

namespace troupe::http {

namespace {

using nlohmann::json;

/// As OpenAI documents it.
constexpr uint32_t usual_text_tokens = 16;

constexpr auto max_int = std::numeric_limits<int32_t>::max();

float number(field_reader& in, std::string_view name, double least, double most,
             float otherwise) {
  return static_cast<float>(in.number_or(name, least, most, otherwise));
}

// -- how tokens are chosen ----------------------------------------------------

/// An id as a key of JSON.
std::optional<int32_t> id_of(const std::string& key) {
  int32_t id = 0;
  auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
  bool is_plain = key == "0" || (!key.empty() && key[0] != '0');
  if (error != std::errc{} || end != key.data() + key.size() || id < 0
      || !is_plain)
    return std::nullopt;
  return id;
}

std::vector<logit_bias> read_biases(field_reader& in, size_t most) {
  constexpr auto name = "logit_bias";
  std::vector<logit_bias> out;
  const auto* x = in.find(name);
  if (!x)
    return out;
  if (!x->is_object() || x->size() > most) {
    in.refuse(name, "must be an object with at most " + std::to_string(most)
                      + " token ids");
    return out;
  }
  for (const auto& [key, value] : x->items()) {
    auto id = id_of(key);
    auto add = value.is_number() ? value.get<double>() : NAN;
    if (!id || !(std::abs(add) <= 100)) {
      in.refuse(name, "must have token ids as keys and numbers from -100 to "
                      "100 as values");
      return out;
    }
    out.push_back({*id, static_cast<float>(add)});
  }
  std::ranges::sort(out, {}, &logit_bias::id);
  return out;
}

/// Any whole number of 64 bits; -1 means none, as vLLM's clients say it.
std::optional<uint64_t> read_seed(field_reader& in) {
  const auto* x = in.find("seed");
  if (!x)
    return std::nullopt;
  if (!x->is_number_integer()) {
    in.refuse("seed",
              "must be an integer from "
                + std::to_string(std::numeric_limits<int64_t>::min()) + " to "
                + std::to_string(std::numeric_limits<uint64_t>::max()),
              field_fault::type);
    return std::nullopt;
  }
  if (x->is_number_unsigned())
    return x->get<uint64_t>();
  auto seed = x->get<int64_t>();
  return seed == -1 ? std::nullopt : std::optional{static_cast<uint64_t>(seed)};
}

void read_sampling(field_reader& in, const sampling_defaults& defaults,
                   const request_limits& limits, completion_options& to) {
  constexpr auto least = std::numeric_limits<float>::min();
  auto& how = to.sampling;
  how.temperature = number(in, "temperature", 0, 2, defaults.temperature);
  how.top_p = std::max(least, number(in, "top_p", 0, 1, defaults.top_p));
  const auto* top_k = in.find("top_k");
  bool all = top_k && *top_k == -1; // how vLLM's clients say it
  how.top_k = all ? 0
                  : static_cast<uint32_t>(
                    in.whole("top_k", 0, max_int).value_or(defaults.top_k));
  how.min_p = number(in, "min_p", 0, 1, defaults.min_p);
  how.repetition_penalty = number(in, "repetition_penalty", 0.01, 100,
                                  defaults.repetition_penalty);
  how.presence_penalty = number(in, "presence_penalty", -2, 2,
                                defaults.presence_penalty);
  how.frequency_penalty = number(in, "frequency_penalty", -2, 2,
                                 defaults.frequency_penalty);
  how.biases = read_biases(in, limits.max_biases);
  to.seed = read_seed(in);
}

// -- where an answer ends -----------------------------------------------------

std::string one_stop(field_reader& in, const char* name, const json& x,
                     const request_limits& limits) {
  auto text = in.text_at(x, name);
  if (text.empty() || text.size() > limits.max_stop_bytes)
    in.refuse(name, "a stop string must have from 1 to "
                      + std::to_string(limits.max_stop_bytes) + " bytes");
  return text;
}

std::vector<std::string> stops(field_reader& in, const char* name,
                               const request_limits& limits) {
  const auto* x = in.find(name);
  if (!x)
    return {};
  if (x->is_string())
    return {one_stop(in, name, *x, limits)};
  if (!x->is_array() || x->size() > limits.max_stops) {
    in.refuse(name, "must be a string or a list of at most "
                      + std::to_string(limits.max_stops) + " strings");
    return {};
  }
  std::vector<std::string> all;
  for (const auto& text : *x)
    all.push_back(one_stop(in, name, text, limits));
  return all;
}

/// By the name, or the names, that the kind of request has for it.
std::optional<uint64_t> read_max_tokens(field_reader& in, completion_kind kind,
                                        uint32_t least) {
  if (kind == completion_kind::response)
    return in.whole("max_output_tokens", least, max_int);
  auto old_name = in.whole("max_tokens", least, max_int);
  if (kind == completion_kind::messages)
    return old_name;
  auto new_name = in.whole("max_completion_tokens", least, max_int);
  return new_name ? new_name : old_name;
}

void read_length(field_reader& in, completion_kind kind,
                 completion_options& to) {
  auto max_tokens = read_max_tokens(in, kind, to.echo ? 0 : 1);
  to.max_tokens = static_cast<uint32_t>(max_tokens.value_or(0));
  to.no_tokens = max_tokens && *max_tokens == 0;
  to.min_tokens
    = static_cast<uint32_t>(in.whole("min_tokens", 0, max_int).value_or(0));
  if (max_tokens && to.min_tokens > to.max_tokens)
    in.refuse("min_tokens", "must not be more than max_tokens");
  if (kind == completion_kind::text)
    to.usual_tokens = std::max(usual_text_tokens, to.min_tokens);
}

void read_end(field_reader& in, completion_kind kind,
              const request_limits& limits, completion_options& to) {
  read_length(in, kind, to);
  to.ignore_eos = in.boolean_or("ignore_eos", false);
  to.stop_ids = in.integers("stop_token_ids", 0, max_int, limits.max_stop_ids);
  auto is_messages = kind == completion_kind::messages;
  to.stop = stops(in, is_messages ? "stop_sequences" : "stop", limits);
  to.include_stop = in.boolean_or("include_stop_str_in_output", false);
  to.skip_special = in.boolean_or("skip_special_tokens", true);
}

// -- what is known of its tokens ----------------------------------------------

/// Chats say whether, and of how many others; text completions how many. Of
/// other kinds nobody hears any.
uint32_t read_scores(field_reader& in, completion_kind kind, uint32_t most) {
  if (kind == completion_kind::text) {
    auto others = in.whole("logprobs", 0, most);
    return others ? static_cast<uint32_t>(*others) + 1 : 0;
  }
  if (kind != completion_kind::chat)
    return 0;
  auto others = in.whole("top_logprobs", 0, most).value_or(0);
  auto wanted = in.boolean_or("logprobs", false);
  if (others > 0 && !wanted)
    in.refuse("top_logprobs", "only allowed when 'logprobs' is true");
  return wanted ? static_cast<uint32_t>(others) + 1 : 0;
}

// -- how it is sent -----------------------------------------------------------

void read_stream(field_reader& in, completion_options& to) {
  to.stream = in.boolean_or("stream", false);
  auto options = in.object("stream_options");
  if (!options)
    return;
  if (!to.stream)
    return in.refuse("stream_options", "only allowed when 'stream' is true");
  to.include_usage = options->boolean_or("include_usage", false);
  // Nothing without the other, as vLLM has it.
  to.running_usage = options->boolean_or("continuous_usage_stats", false)
                     && to.include_usage;
  in.absorb(*options);
}

void read_salt(field_reader& in, completion_options& to) {
  to.cache_salt = in.text_or("cache_salt", "");
  if (to.cache_salt.size() > max_asked_salt)
    in.refuse("cache_salt",
              "must have at most " + std::to_string(max_asked_salt) + " bytes");
}

void read_priority(field_reader& in, const request_limits& limits,
                   completion_options& to) {
  auto x = in.signed_whole("priority", -max_priority, max_priority).value_or(0);
  if (x != 0 && !limits.priorities)
    in.refuse("priority",
              "only 0 is supported: the server was started without "
              "--scheduling-policy priority",
              field_fault::unsupported);
  to.priority = static_cast<int32_t>(x);
}

void read_count(field_reader& in, const request_limits& limits,
                completion_options& to) {
  to.num_answers
    = static_cast<uint32_t>(in.whole("n", 1, limits.max_n).value_or(1));
  // Without choosing the best of more it asks for nothing.
  if (auto best_of = in.whole("best_of", 1, limits.max_n);
      best_of && *best_of != to.num_answers)
    in.refuse("best_of", "only the value of 'n' is supported",
              field_fault::unsupported);
}

} // namespace

completion_options read_options(field_reader& in, completion_kind kind,
                                const sampling_defaults& defaults,
                                const request_limits& limits) {
  completion_options to;
  if (!in.has("model"))
    in.refuse("model", "is needed", field_fault::missing);
  to.model = in.text_or("model", "");
  if (kind == completion_kind::text)
    to.echo = in.boolean_or("echo", false);
  if (kind == completion_kind::chat || kind == completion_kind::text)
    read_count(in, limits, to);
  read_sampling(in, defaults, limits, to);
  read_end(in, kind, limits, to);
  to.num_scores = read_scores(in, kind, limits.max_top_scores);
  read_salt(in, to);
  read_priority(in, limits, to);
  read_stream(in, to);
  refuse_known_fields(in, kind);
  return to;
}

} // namespace troupe::http
