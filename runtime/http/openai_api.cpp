#include "runtime/http/openai_api.hpp"

#include "kernels/ops.hpp"
#include "runtime/http/api_refusals.hpp"
#include "runtime/http/token_routes.hpp"
#include "runtime/http/tool_request.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace troupe::http {

namespace {

constexpr const char* chat_path = "/v1/chat/completions";
constexpr const char* text_path = "/v1/completions";
constexpr const char* tokenize_path = "/tokenize";
constexpr const char* detokenize_path = "/detokenize";
constexpr const char* metrics_path = "/metrics";

constexpr size_t block_tokens = kernels::latent_cache::block_tokens;

/// A request costs at least this much of the limit on what waits.
constexpr size_t least_cost = 4096;

std::string hex(uint64_t a, uint64_t b) {
  char text[40];
  std::snprintf(text, sizeof text, "%016llx%016llx",
                static_cast<unsigned long long>(a),
                static_cast<unsigned long long>(b));
  return text;
}

int nibble(char c) {
  if (c >= '0' && c <= '9')
    return c - '0';
  c = static_cast<char>(c | 0x20);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/// %XX becomes the byte; anything else stays.
std::string percent_decode(std::string_view x) {
  std::string out;
  for (size_t i = 0; i < x.size(); ++i) {
    bool two = x[i] == '%' && i + 2 < x.size();
    auto high = two ? nibble(x[i + 1]) : -1;
    auto low = two ? nibble(x[i + 2]) : -1;
    bool coded = high >= 0 && low >= 0;
    out += coded ? static_cast<char>(high * 16 + low) : x[i];
    i += coded ? 2 : 0;
  }
  return out;
}

} // namespace

openai_api::openai_api(service& serving, const tokenizer& tokens,
                       chat_form form, openai_options options,
                       openai_sources sources)
  : serving_(serving), tokens_(tokens), form_(std::move(form)),
    options_(std::move(options)), sources_(std::move(sources)),
    keys_(options_.keys), pages_(options_.allowed_origins),
    created_(sources_.unix_time()),
    context_(std::make_shared<generation_context>(serving, tokens, sources_.now,
                                                  options_.max_queue_wait)),
    short_requests_(options_.max_waiting_bytes / 8),
    long_requests_(options_.max_waiting_bytes) {
}

openai_api::~openai_api() {
  short_requests_.stop();
  long_requests_.stop();
  context_->events.stop();
}

// -- routes -------------------------------------------------------------------

const openai_api::route* openai_api::find(std::string_view path) {
  static constexpr route routes[] = {
    {"POST", chat_path, false, &openai_api::chat},
    {"POST", text_path, false, &openai_api::text},
    {"GET", "/v1/models", false, &openai_api::models},
    {"GET", "/v1/models/", false, &openai_api::model},
    {"GET", "/health", true, &openai_api::health},
    {"GET", "/health/ready", true, &openai_api::health},
    {"GET", "/health/live", true, &openai_api::live},
    {"GET", "/version", false, &openai_api::version},
    {"GET", "/v1/load", false, &openai_api::load},
    {"POST", tokenize_path, false, &openai_api::tokenize},
    {"POST", detokenize_path, false, &openai_api::detokenize},
    {"GET", metrics_path, false, &openai_api::metrics},
  };
  for (const auto& x : routes) {
    std::string_view known = x.path;
    if (path == known || (known.back() == '/' && path.starts_with(known)))
      return &x;
  }
  return nullptr;
}

std::optional<reply> openai_api::refuse_head(const request_head& head) {
  const auto* x = find(head.path);
  if (auto word = pages_.answer(head, x ? x->method : ""))
    return counted("other", std::move(*word));
  bool open
    = x && (x->open || (options_.open_metrics && head.path == metrics_path));
  if (!open && !keys_.allow(head.authorization))
    return counted("other", to_reply({401, "invalid_request_error",
                                      "Incorrect API key provided.", "",
                                      "invalid_api_key"}));
  auto method = head.method == "HEAD" ? "GET" : head.method;
  if (!x || method != x->method)
    return counted("other", to_reply(unknown_route(head, x)));
  if (method == "GET" && head.has_body())
    return counted("other", refusal(400, "a GET request takes no body"));
  if (method == "POST" && !has_json_type(head))
    return counted("other",
                   refusal(415, "the body's Content-Type must be "
                                "application/json, not '"
                                  + head.content_type.substr(0, 256) + "'"));
  return std::nullopt;
}

header_list openai_api::headers_for(const request_head& head) {
  return pages_.headers_for(head.origin);
}

void openai_api::handle(request what, respond to) {
  const auto* x = find(what.path);
  CHECK(x != nullptr); // or its head would have been refused
  (this->*x->run)(std::move(what), std::move(to));
}

reply openai_api::refusal(unsigned status, std::string_view why) {
  auto type = status < 500 ? "invalid_request_error" : "server_error";
  return to_reply({status, type, std::string{why}, "", ""});
}

void openai_api::answer(const std::string& route, reply what,
                        const respond& to) {
  to->answer(counted(route, std::move(what)));
}

reply openai_api::counted(const std::string& route, reply what) {
  context_->metrics.count_request(route, what.status);
  return what;
}

// -- what is answered at once -------------------------------------------------

void openai_api::models(request, respond to) {
  reply x;
  x.body = render_models(options_.model, created_,
                         serving_.info().max_model_len);
  answer("/v1/models", std::move(x), to);
}

void openai_api::model(request what, respond to) {
  auto prefix = std::string_view{"/v1/models/"}.size();
  auto name = percent_decode(what.path.substr(prefix));
  if (name != options_.model)
    return answer("/v1/models/", to_reply(unknown_model(name)), to);
  reply x;
  x.body = render_model(options_.model, created_,
                        serving_.info().max_model_len);
  answer("/v1/models/", std::move(x), to);
}

void openai_api::retire() {
  retired_ = true;
}

/// It answers: starting it anew would help nobody.
void openai_api::live(request, respond to) {
  reply x;
  x.body = render_health("", {});
  answer("/health/live", std::move(x), to);
}

void openai_api::health(request, respond to) {
  auto trouble = serving_.trouble().value_or("");
  if (trouble.empty() && retired_)
    trouble = "the server is shutting down";
  reply x;
  x.status = trouble.empty() ? 200 : 503;
  auto faults = sources_.active_faults ? sources_.active_faults()
                                       : std::vector<std::string>{};
  x.body = render_health(trouble, faults);
  answer("/health", std::move(x), to);
}

void openai_api::version(request, respond to) {
  reply x;
  x.body = render_version(options_.version);
  answer("/version", std::move(x), to);
}

void openai_api::load(request, respond to) {
  reply x;
  x.body = render_load(serving_.stats());
  answer("/v1/load", std::move(x), to);
}

void openai_api::metrics(request, respond to) {
  reply x;
  x.content_type = "text/plain; version=0.0.4; charset=utf-8";
  auto connections = sources_.connections ? sources_.connections->read()
                                          : server_stats{};
  x.body = context_->metrics.render(serving_.stats(), serving_.info(),
                                    connections);
  answer("/metrics", std::move(x), to);
}

// -- completions --------------------------------------------------------------

void openai_api::enqueue(const std::string& route, size_t bytes,
                         const respond& to, std::function<void()> job) {
  auto& queue = bytes <= options_.short_body ? short_requests_ : long_requests_;
  if (!queue.post(bytes + least_cost, std::move(job)))
    answer(route,
           to_reply(to_api_error({errc::overloaded,
                                  "Too many requests are waiting; try again "
                                  "later."})),
           to);
}

generation_plan
openai_api::plan(completion_kind kind,
                 std::chrono::steady_clock::time_point arrival) const {
  generation_plan x;
  bool is_chat = kind == completion_kind::chat;
  x.route = is_chat ? chat_path : text_path;
  x.arrival = arrival;
  auto high = sources_.random_bits();
  x.head = {
    kind, (is_chat ? "chatcmpl-" : "cmpl-") + hex(high, sources_.random_bits()),
    options_.model, options_.fingerprint, sources_.unix_time()};
  return x;
}

void openai_api::chat(request what, respond to) {
  auto size = what.body.size();
  enqueue(chat_path, size, to,
          [this, to, what = std::move(what), arrival = sources_.now()] {
            start_chat(what, to, plan(completion_kind::chat, arrival));
          });
}

void openai_api::text(request what, respond to) {
  auto size = what.body.size();
  enqueue(text_path, size, to,
          [this, to, what = std::move(what), arrival = sources_.now()] {
            start_text(what, to, plan(completion_kind::text, arrival));
          });
}

void openai_api::start_chat(const request& what, const respond& to,
                            generation_plan plan) {
  auto body = parse_chat_request(what.body, options_.defaults, options_.limits);
  if (auto* error = std::get_if<api_error>(&body))
    return answer(plan.route, to_reply(*error), to);
  auto& asked = std::get<chat_request>(body);
  auto rendered = render_chat(asked);
  if (auto* error = std::get_if<api_error>(&rendered))
    return answer(plan.route, to_reply(*error), to);
  auto& prompt = std::get<chat_prompt>(rendered);
  auto grammar = grammar_of_tools(asked, form_.tools());
  if (auto* error = std::get_if<api_error>(&grammar))
    return answer(plan.route, to_reply(*error), to);
  plan.options = std::move(asked.options);
  auto& of_text = plan.options.grammar;
  if (of_text.kind == grammar_kind::none)
    of_text = std::move(std::get<grammar_source>(grammar));
  of_text.after_thought = prompt.in_thought;
  std::optional<tool_call_splitter> calls;
  if (!asked.tools.empty())
    calls.emplace(form_.tools(), std::move(prompt.begun_call));
  generate({{std::move(prompt.ids), std::move(prompt.segments),
             reasoning_splitter{prompt.in_thought}, std::move(calls)}},
           std::move(plan), to);
}

parsed<chat_prompt> openai_api::render_chat(const chat_request& asked) const {
  chat_options how;
  for (auto& [name, value] : asked.switches) {
    if (form_.trouble().empty() && !form_.takes_switch(name, value))
      return no_switch("chat_template_kwargs." + name);
    how.thinking = value;
  }
  if (asked.thinking) {
    auto takes = [&](const char* name) {
      return form_.takes_switch(name, *asked.thinking);
    };
    if (form_.trouble().empty() && !takes("thinking")
        && !takes("enable_thinking"))
      return no_switch("thinking");
    how.thinking = asked.thinking;
  }
  how.add_generation_prompt = asked.add_generation_prompt;
  how.go_on = asked.go_on;
  how.tools = asked.tools;
  how.forced_call = asked.forced_call;
  auto prompt = form_.render(asked.messages, how, tokens_);
  if (!prompt)
    return to_api_error(prompt.why());
  return std::move(*prompt);
}

std::vector<int32_t> openai_api::encode_text(const std::string& text,
                                             bool begin) const {
  auto ids = tokens_.encode(text, specials::recognised);
  if (begin && options_.add_bos
      && (ids.empty() || ids.front() != form_.bos_id()))
    ids.insert(ids.begin(), form_.bos_id());
  return ids;
}

void openai_api::start_text(const request& what, const respond& to,
                            generation_plan plan) {
  auto body = parse_text_request(what.body, options_.defaults, options_.limits);
  if (auto* error = std::get_if<api_error>(&body))
    return answer(plan.route, to_reply(*error), to);
  auto& asked = std::get<text_request>(body);
  std::vector<asked_prompt> prompts;
  for (auto& x : asked.prompts)
    prompts.push_back(prompt_of(std::move(x), asked));
  plan.options = std::move(asked.options);
  generate(std::move(prompts), std::move(plan), to);
}

openai_api::asked_prompt openai_api::prompt_of(text_prompt&& x,
                                               const text_request& of) const {
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
openai_api::answer_to(const asked_prompt& x, const generation_plan& plan,
                      uint64_t seed, const stop_strings& stops) const {
  const auto& options = plan.options;
  generation_request request;
  request.prompt = x.ids;
  request.segments = x.segments;
  request.sampling = options.sampling;
  request.sampling.seed = seed;
  // One token is the least that there is.
  request.max_tokens = options.no_tokens ? 1 : options.max_tokens;
  request.min_tokens = options.min_tokens;
  request.stop_ids = options.stop_ids;
  request.ignore_eos = options.ignore_eos;
  request.num_scores = options.num_scores;
  request.grammar = options.grammar;
  if (options.echo)
    request.num_prompt_scores = options.num_scores;
  auto is_chat = plan.head.kind == completion_kind::chat;
  if (auto refusal = settle(request, rules()))
    return in_openai_words(*refusal, is_chat ? "messages" : "prompt");
  return wanted_answer{
    std::move(request), {tokens_, x.splitter, x.calls, stops, options}, x.echo};
}

void openai_api::generate(std::vector<asked_prompt> prompts,
                          generation_plan plan, const respond& to) {
  const auto& options = plan.options;
  auto refuse = [&](const api_error& why) {
    answer(plan.route, to_reply(why), to);
  };
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
  if (auto error = too_busy(num_blocks))
    return refuse(*error);
  std::make_shared<generation>(context_, std::move(plan), std::move(all), to)
    ->start();
}

// -- tokens -------------------------------------------------------------------

void openai_api::tokenize(request what, respond to) {
  auto size = what.body.size();
  enqueue(tokenize_path, size, to,
          [this, to, what = std::move(what)] { start_tokenize(what, to); });
}

void openai_api::start_tokenize(const request& what, const respond& to) {
  auto body = parse_tokenize_request(what.body);
  auto refuse = [&](const api_error& x) {
    answer(tokenize_path, to_reply(x), to);
  };
  if (auto* error = std::get_if<api_error>(&body))
    return refuse(*error);
  auto& asked = std::get<tokenize_request>(body);
  if (!asked.model.empty() && asked.model != options_.model)
    return refuse(unknown_model(asked.model));
  std::vector<int32_t> ids;
  if (asked.is_chat) {
    auto chat = parse_chat_request(what.body, options_.defaults,
                                   options_.limits);
    if (auto* error = std::get_if<api_error>(&chat))
      return refuse(*error);
    auto prompt = render_chat(std::get<chat_request>(chat));
    if (auto* error = std::get_if<api_error>(&prompt))
      return refuse(*error);
    ids = std::move(std::get<chat_prompt>(prompt).ids);
  } else {
    ids = encode_text(asked.text, asked.add_begin);
  }
  reply x;
  x.body = render_tokens(tokens_, ids, serving_.info().max_model_len,
                         asked.with_texts);
  answer(tokenize_path, std::move(x), to);
}

void openai_api::detokenize(request what, respond to) {
  auto size = what.body.size();
  enqueue(detokenize_path, size, to, [this, to, what = std::move(what)] {
    auto text = troupe::http::detokenize(tokens_, what.body);
    reply x;
    if (auto* error = std::get_if<api_error>(&text))
      x = to_reply(*error);
    else
      x.body = std::get<std::string>(text);
    answer(detokenize_path, std::move(x), to);
  });
}

std::optional<api_error> openai_api::too_busy(size_t num_blocks) const {
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
request_rules openai_api::rules() const {
  auto info = serving_.info();
  return {info.max_model_len, tokens_.vocab_size(), info.num_ranks};
}

} // namespace troupe::http
