#include "runtime/request_rules.hpp"

#include <algorithm>
#include <cstdlib>

namespace troupe {

namespace {

std::optional<request_refusal> judge_tokens(std::span<const int32_t> ids,
                                            const request_rules& rules) {
  auto is_unknown = [&](int32_t id) {
    return id < 0 || static_cast<uint32_t>(id) >= rules.vocab_size;
  };
  auto i = std::ranges::find_if(ids, is_unknown);
  if (i == ids.end())
    return std::nullopt;
  return request_refusal{request_fault::unknown_token, *i, rules.vocab_size, 0};
}

/// Not the other way round: NaN is out of range as well.
bool is_in(float x, float least, float most) {
  return x >= least && x <= most;
}

bool has_sense(const sampling_params& x) {
  return is_in(x.temperature, 0, 100) && x.top_p > 0 && is_in(x.top_p, 0, 1)
         && is_in(x.min_p, 0, 1) && is_in(x.repetition_penalty, 0.01f, 100)
         && is_in(x.presence_penalty, -2, 2)
         && is_in(x.frequency_penalty, -2, 2);
}

std::optional<request_refusal> judge_choices(const generation_request& x,
                                             const request_rules& rules) {
  auto& biases = x.sampling.biases;
  auto descends = [](auto& a, auto& b) { return a.id >= b.id; };
  auto is_wide = [](auto& bias) { return !is_in(bias.add, -100, 100); };
  if (!has_sense(x.sampling) || biases.size() > max_biases
      || std::ranges::adjacent_find(biases, descends) != biases.end()
      || std::ranges::any_of(biases, is_wide))
    return request_refusal{request_fault::wrong_sampling, 0, 0, 0};
  if (x.stop_ids.size() > max_stop_ids)
    return request_refusal{request_fault::many_stop_ids,
                           static_cast<int64_t>(x.stop_ids.size()),
                           max_stop_ids, 0};
  if (auto n = std::max(x.num_scores, x.num_prompt_scores); n > max_scores)
    return request_refusal{request_fault::many_scores, n, max_scores, 0};
  std::vector<int32_t> ids = x.stop_ids;
  for (auto& bias : biases)
    ids.push_back(bias.id);
  return judge_tokens(ids, rules);
}

std::optional<request_refusal> judge_segments(const generation_request& x) {
  uint64_t sum = 0;
  auto is_empty = false;
  for (auto& s : x.segments) {
    sum += s.length;
    is_empty |= s.length == 0;
  }
  if (x.segments.empty() || (sum == x.prompt.size() && !is_empty))
    return std::nullopt;
  return request_refusal{request_fault::wrong_segments,
                         static_cast<int64_t>(sum),
                         static_cast<int64_t>(x.prompt.size()), 0};
}

std::optional<request_refusal> judge(const generation_request& x,
                                     const request_rules& rules) {
  auto refuse = [&](request_fault why, int64_t given = 0, int64_t limit = 0) {
    return request_refusal{why, given, limit, x.max_tokens};
  };
  using enum request_fault;
  if (x.prompt.empty())
    return refuse(empty_prompt);
  if (auto refusal = judge_tokens(x.prompt, rules))
    return refusal;
  uint64_t size = x.prompt.size();
  if (size + std::max(x.max_tokens, 1u) > rules.max_model_len)
    return refuse(too_long, static_cast<int64_t>(size), rules.max_model_len);
  auto most = x.max_tokens > 0 ? x.max_tokens : rules.max_model_len - size;
  if (x.min_tokens > most)
    return refuse(wrong_min_tokens, x.min_tokens, static_cast<int64_t>(most));
  if (auto refusal = judge_choices(x, rules))
    return refusal;
  if (x.grammar.text.size() > max_grammar_source)
    return refuse(long_grammar, int64_t(x.grammar.text.size()),
                  max_grammar_source);
  if (x.cache_salt.size() > max_cache_salt)
    return refuse(long_salt, int64_t(x.cache_salt.size()), max_cache_salt);
  if (std::abs(int64_t{x.priority}) > max_priority)
    return refuse(wrong_priority, x.priority, max_priority);
  if (x.rank && *x.rank >= rules.num_ranks)
    return refuse(unknown_rank, *x.rank, rules.num_ranks);
  return judge_segments(x);
}

bool is_open(const generation_request& x) {
  return x.max_tokens == 0;
}

/// Of one that fits.
void close(generation_request& x, const request_rules& rules) {
  x.max_tokens = rules.max_model_len - static_cast<uint32_t>(x.prompt.size());
}

} // namespace

std::optional<request_refusal> settle(generation_request& x,
                                      const request_rules& rules) {
  if (auto refusal = judge(x, rules))
    return refusal;
  if (is_open(x))
    close(x, rules);
  return std::nullopt;
}

std::optional<request_refusal>
settle(std::shared_ptr<const generation_request>& x,
       const request_rules& rules) {
  if (auto refusal = judge(*x, rules))
    return refusal;
  if (is_open(*x)) {
    auto own = std::make_shared<generation_request>(*x);
    close(*own, rules);
    x = std::move(own);
  }
  return std::nullopt;
}

std::optional<request_refusal> judge_answered(const generation_request& x,
                                              std::span<const int32_t> answered,
                                              const request_rules& rules) {
  if (answered.size() >= x.max_tokens)
    return request_refusal{request_fault::answered_all,
                           static_cast<int64_t>(answered.size()), x.max_tokens,
                           x.max_tokens};
  return judge_tokens(answered, rules);
}

failure to_failure(const request_refusal& x) {
  auto given = std::to_string(x.given);
  auto limit = std::to_string(x.limit);
  switch (x.why) {
    case request_fault::empty_prompt:
      return {errc::invalid_input, "the prompt is empty"};
    case request_fault::unknown_token:
      return {errc::invalid_input,
              "token " + given + " is not in the vocabulary of " + limit};
    case request_fault::too_long:
      return {errc::context_too_long,
              "a prompt of " + given + " tokens and an answer of "
                + std::to_string(std::max(x.max_tokens, 1u))
                + " do not fit into a context of " + limit};
    case request_fault::wrong_sampling:
      return {errc::invalid_input,
              "temperature, top_p, min_p, a penalty or a bias is out of range"};
    case request_fault::wrong_min_tokens:
      return {errc::invalid_input, "at least " + given + " tokens and at most "
                                     + limit + " were asked for"};
    case request_fault::many_stop_ids:
      return {errc::invalid_input,
              given + " stop tokens are more than " + limit};
    case request_fault::many_scores:
      return {errc::invalid_input,
              given + " scores of a token are more than " + limit};
    case request_fault::long_salt:
      return {errc::invalid_input,
              "a cache salt of " + given + " bytes is longer than " + limit};
    case request_fault::long_grammar:
      return {errc::invalid_input,
              "a grammar of " + given + " bytes is longer than " + limit};
    case request_fault::wrong_priority:
      return {errc::invalid_input,
              "a priority of " + given + " is beyond " + limit};
    case request_fault::wrong_segments:
      return {errc::invalid_input, "the segments have " + given
                                     + " tokens or one of them none, and the "
                                       "prompt has "
                                     + limit};
    case request_fault::answered_all:
      return {errc::invalid_input, given + " tokens are answered already and "
                                     + limit + " were asked for"};
    case request_fault::unknown_rank:
      break;
  }
  return {errc::invalid_input, "there is no rank " + given + " among " + limit};
}

} // namespace troupe
