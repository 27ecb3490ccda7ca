#include "runtime/http/request_desk.hpp"

#include "kernels/check.hpp"
#include "kernels/ops.hpp"
#include "runtime/http/api_refusals.hpp"
#include "runtime/http/tool_request.hpp"

#include <algorithm>
#include <cmath>

namespace troupe::http {

namespace {

constexpr size_t block_tokens = kernels::latent_cache::block_tokens;

/// Whose prompts may be found: neither part can be taken for the other's.
std::string salt_of(const std::string& holder, const std::string& asked) {
  static_assert(1 + 32 + max_asked_salt <= max_cache_salt);
  CHECK(holder.size() <= 32);
  if (holder.empty() && asked.empty())
    return {};
  return static_cast<char>(holder.size()) + holder + asked;
}

} // namespace

request_desk::request_desk(service& serving, const tokenizer& tokens,
                           chat_form form, const openai_options& options,
                           const openai_sources& sources)
  : serving_(serving), tokens_(tokens), form_(std::move(form)),
    marks_(has_thought_marks(tokens) ? thought_marks::token
                                     : thought_marks::text),
    options_(options), sources_(sources),
    context_(std::make_shared<generation_context>(serving, tokens, sources,
                                                  options.max_queue_wait)) {
}

void request_desk::stop() {
  context_->events.stop();
}

void request_desk::refuse(const generation_plan& plan, const api_error& why,
                          const respond& to) {
  auto x = plan.form->refusal(why);
  context_->metrics.count_request(plan.route, x.status);
  to->answer(std::move(x));
}

void request_desk::start(chat_request asked, generation_plan plan,
                         const respond& to) {
  auto rendered = render_chat(asked, plan.prompt_field);
  if (auto* error = std::get_if<api_error>(&rendered))
    return refuse(plan, *error, to);
  auto& prompt = std::get<chat_prompt>(rendered);
  auto grammar = grammar_of_tools(asked, form_.tools(),
                                  *options_.limits.grammars);
  if (auto* error = std::get_if<api_error>(&grammar))
    return refuse(plan, *error, to);
  auto is_of_tool = asked.messages.back().role == chat_role::tool;
  plan.options = std::move(asked.options);
  auto& of_text = plan.options.grammar;
  if (auto& calls = std::get<grammar_source>(grammar);
      calls.kind != grammar_kind::none)
    of_text = std::move(calls);
  of_text.after_thought = prompt.in_thought;
  // Models that are told not to think do, and some only say where it ends; so
  // behind the output of a tool. Elsewhere a mark is text: of families that do
  // not think, of an answer that goes on, of what a grammar has made. There it
  // is text at the beginning, too.
  auto kind = of_text.kind;
  auto is_free = kind == grammar_kind::none;
  auto may_think = !asked.go_on && !prompt.in_thought
                   && prompt.begun_call.empty()
                   && ((is_of_tool && (is_free || kind == grammar_kind::tools))
                       || (is_free && takes_thinking(true)));
  std::optional<reasoning_splitter> splitter;
  if (prompt.in_thought
      || (!asked.go_on && (is_free || kind == grammar_kind::tools)))
    splitter.emplace(prompt.in_thought, may_think, marks_);
  std::optional<tool_call_splitter> calls;
  if (!asked.tools.empty())
    calls.emplace(form_.tools(), std::move(prompt.begun_call));
  generate({{std::move(prompt.ids), std::move(prompt.segments),
             std::move(splitter), std::move(calls)}},
           std::move(plan), to);
}

void request_desk::start(text_request asked, generation_plan plan,
                         const respond& to) {
  std::vector<asked_prompt> prompts;
  for (auto& x : asked.prompts) {
    if (auto error = no_room(x.text, asked.options, plan.prompt_field))
      return refuse(plan, *error, to);
    prompts.push_back(prompt_of(std::move(x), asked));
  }
  plan.options = std::move(asked.options);
  generate(std::move(prompts), std::move(plan), to);
}

bool request_desk::takes_thinking(bool value) const {
  return form_.takes_switch("thinking", value)
         || form_.takes_switch("enable_thinking", value);
}

size_t request_desk::max_text() const {
  return serving_.info().max_model_len * tokens_.max_bytes();
}

std::optional<api_error>
request_desk::no_room(std::string_view text, const completion_options& options,
                      const std::string& field) const {
  if (text.size() <= max_text())
    return std::nullopt;
  auto longest = tokens_.max_bytes();
  return surely_too_long((text.size() + longest - 1) / longest,
                         serving_.info().max_model_len, options, field);
}

parsed<chat_prompt> request_desk::render_chat(const chat_request& asked,
                                              const std::string& field) const {
  chat_options how;
  for (auto& [name, value] : asked.switches) {
    if (form_.trouble().empty() && !form_.takes_switch(name, value))
      return no_switch("chat_template_kwargs." + name);
    how.thinking = value;
  }
  if (asked.thinking) {
    if (form_.trouble().empty() && !takes_thinking(*asked.thinking))
      return no_switch("thinking");
    how.thinking = asked.thinking;
  }
  if (auto x = asked.rather_thinking; x && !how.thinking && takes_thinking(*x))
    how.thinking = x;
  how.add_generation_prompt = asked.add_generation_prompt;
  how.go_on = asked.go_on;
  how.tools = asked.tools;
  how.forced_call = asked.forced_call;
  how.max_bytes = max_text();
  auto prompt = form_.render(asked.messages, how, tokens_);
  if (!prompt)
    return to_api_error(prompt.why());
  if (auto error = no_room(prompt->text, asked.options, field))
    return std::move(*error);
  return std::move(*prompt);
}

std::vector<int32_t> request_desk::encode_text(const std::string& text,
                                               bool begin) const {
  auto ids = tokens_.encode(text, specials::recognised);
  if (begin && options_.add_bos
      && (ids.empty() || ids.front() != form_.bos_id()))
    ids.insert(ids.begin(), form_.bos_id());
  return ids;
}

request_desk::asked_prompt
request_desk::prompt_of(text_prompt&& x, const text_request& of) const {
  asked_prompt out{std::move(x.ids)};
  bool is_text = out.ids.empty();
  if (is_text)
    out.ids = encode_text(x.text, of.add_bos);
  if (of.options.echo)
    out.echo = is_text ? std::move(x.text)
                       : tokens_.decode(out.ids, of.options.skip_special);
  return out;
}

parsed<wanted_answer>
request_desk::answer_to(const asked_prompt& x, const generation_plan& plan,
                        uint64_t seed, const stop_strings& stops) const {
  const auto& options = plan.options;
  generation_request request;
  request.prompt = x.ids;
  request.segments = x.segments;
  request.sampling = options.sampling;
  request.sampling.seed = seed;
  // One token is the least that there is.
  request.max_tokens = options.no_tokens ? 1 : options.max_tokens;
  auto context = serving_.info().max_model_len;
  if (request.max_tokens == 0 && x.ids.size() < context)
    request.max_tokens = std::min(options.usual_tokens,
                                  context - uint32_t(x.ids.size()));
  request.min_tokens = options.min_tokens;
  request.stop_ids = options.stop_ids;
  request.ignore_eos = options.ignore_eos;
  request.num_scores = options.num_scores;
  request.grammar = options.grammar;
  request.name = plan.name;
  request.cache_salt = salt_of(plan.asked_by->id, options.cache_salt);
  request.priority = options.priority;
  if (options.echo)
    request.num_prompt_scores = options.num_scores;
  if (auto refusal = settle(request, rules()))
    return in_openai_words(*refusal, plan.prompt_field);
  return wanted_answer{
    std::move(request), {tokens_, x.splitter, x.calls, stops, options}, x.echo};
}

void request_desk::generate(std::vector<asked_prompt> prompts,
                            generation_plan plan, const respond& to) {
  const auto& options = plan.options;
  auto refuse = [&](const api_error& why) { this->refuse(plan, why, to); };
  if (options.model != options_.model)
    return refuse(unknown_model(options.model));
  auto stops = stop_strings::make(options.stop, options.include_stop);
  if (!stops)
    return refuse(bad_parameter("stop", stops.why().message));
  if (auto error = unknown_ids(options, tokens_.vocab_size()))
    return refuse(*error);
  size_t num_scores = 0;
  for (auto& x : prompts)
    num_scores += x.ids.size() * options.num_answers
                  * (options.echo ? options.num_scores : 0);
  if (num_scores > options_.limits.max_prompt_scores)
    return refuse(many_scores(num_scores, options_.limits.max_prompt_scores));
  auto first_seed = options.seed ? *options.seed : sources_.random_bits();
  std::vector<wanted_answer> all;
  size_t num_blocks = 0, num_held = 0;
  for (auto& x : prompts) {
    plan.num_prompt += x.ids.size();
    num_blocks += options.num_answers * (x.ids.size() / block_tokens + 1);
    for (uint32_t i = 0; i < options.num_answers; ++i) {
      // The first is what it would be without the others.
      auto one = answer_to(x, plan, first_seed + i, *stops);
      if (auto* error = std::get_if<api_error>(&one))
        return refuse(*error);
      auto& wanted = std::get<wanted_answer>(one);
      num_held += wanted.request.max_tokens * size_t{options.num_scores};
      all.push_back(std::move(wanted));
    }
  }
  if (auto error = many_held(options, num_held, options_.limits))
    return refuse(*error);
  if (auto error = too_busy(num_blocks)) {
    plan.asked_by->quota.give_back(0, sources_.now());
    return refuse(*error);
  }
  plan.asked_by->quota.take_tokens(plan.num_prompt, sources_.now());
  std::make_shared<generation>(context_, std::move(plan), std::move(all), to)
    ->start();
}

std::optional<api_error> request_desk::too_busy(size_t num_blocks) const {
  auto wait = context_->queue.too_long(serving_.stats(), serving_.info(),
                                       num_blocks);
  if (!wait)
    return std::nullopt;
  auto most = options_.max_queue_wait;
  auto beyond = std::ceil(wait->count() - double(most.count()));
  auto seconds = [](double x) { return std::to_string(std::llround(x)); };
  api_error out{429, "rate_limit_error",
                "The server is busy: this request would wait for its turn for "
                "about "
                  + seconds(wait->count()) + " s, more than the "
                  + std::to_string(most.count())
                  + " s that it may. Try again later.",
                "", "overloaded"};
  out.retry_after = uint64_t(std::clamp(beyond, 1.0, 3600.0));
  return out;
}

/// Ids beyond the tokenizer's have rows in the head, but are never meant.
request_rules request_desk::rules() const {
  auto info = serving_.info();
  return {info.max_model_len, tokens_.vocab_size(), info.num_ranks};
}

} // namespace troupe::http
