#include "runtime/http/openai_api.hpp"

#include "runtime/http/admin_routes.hpp"
#include "runtime/http/api_refusals.hpp"
#include "runtime/http/cluster_answer.hpp"
#include "runtime/http/dashboard.hpp"
#include "runtime/http/messages_answer.hpp"
#include "runtime/http/messages_request.hpp"
#include "runtime/http/openai_answer.hpp"
#include "runtime/http/responses_answer.hpp"
#include "runtime/http/route_paths.hpp"
#include "runtime/http/route_refusals.hpp"
#include "runtime/http/text_codes.hpp"

namespace troupe::http {

namespace {

constexpr const char* chat_path = "/v1/chat/completions";
constexpr const char* text_path = "/v1/completions";
constexpr const char* count_path = "/v1/messages/count_tokens";
constexpr const char* responses_path = "/v1/responses";
constexpr const char* response_path = "/v1/responses/";
constexpr const char* model_path = "/v1/models/";
constexpr const char* tokenize_path = "/tokenize";
constexpr const char* detokenize_path = "/detokenize";
constexpr const char* info_path = "/tokenizer_info";
constexpr const char* metrics_path = "/metrics";
constexpr const char* cluster_path = "/cluster";
constexpr const char* experts_path = "/cluster/experts";
constexpr const char* drain_path = "/cluster/drain";
constexpr const char* log_level_path = "/log-level";

/// A request costs at least this much of the limit on what waits.
constexpr size_t least_cost = 4096;

/// What is left of `path` behind the route `prefix`.
std::string rest_of(const std::string& path, std::string_view prefix) {
  return percent_decode(path.substr(prefix.size()));
}

} // namespace

openai_api::openai_api(service& serving, const tokenizer& tokens,
                       chat_form form, openai_options options,
                       openai_sources sources)
  : serving_(serving), options_(std::move(options)),
    sources_(std::move(sources)), keys_(options_.keys, options_.everybody),
    pages_(options_.allowed_origins), created_(sources_.unix_time()),
    desk_(serving, tokens, std::move(form), options_, sources_),
    responses_(desk_, options_, sources_), words_(desk_, tokens, options_),
    admin_(*this), short_requests_(options_.max_waiting_bytes / 8),
    long_requests_(options_.max_waiting_bytes) {
}

openai_api::~openai_api() {
  short_requests_.stop_now(); // who waits is answered by nobody
  long_requests_.stop_now();
  desk_.stop();
}

// -- routes -------------------------------------------------------------------

std::span<const openai_api::route> openai_api::routes() {
  static constexpr route all[] = {
    {"POST", chat_path, right::ask, &openai_api::chat},
    {"POST", text_path, right::ask, &openai_api::text},
    {"POST", messages_path, right::ask, &openai_api::messages},
    {"POST", count_path, right::use, &openai_api::count_tokens},
    {"POST", responses_path, right::ask, &openai_api::response},
    {"GET", response_path, right::use, &openai_api::get_response},
    {"DELETE", response_path, right::use, &openai_api::delete_response},
    {"GET", "/v1/models", right::use, &openai_api::models},
    {"GET", model_path, right::use, &openai_api::model},
    {"GET", "/health", right::none, &openai_api::health},
    {"GET", "/health/ready", right::none, &openai_api::health},
    {"GET", "/health/live", right::none, &openai_api::live},
    {"GET", "/version", right::use, &openai_api::version},
    {"GET", "/v1/load", right::use, &openai_api::load},
    {"POST", tokenize_path, right::use, &openai_api::tokenize},
    {"POST", detokenize_path, right::use, &openai_api::detokenize},
    {"GET", info_path, right::use, &openai_api::tokenizer_info},
    {"GET", metrics_path, right::observe, &openai_api::metrics},
    {"GET", cluster_path, right::observe, &openai_api::cluster},
    {"GET", experts_path, right::observe, &openai_api::experts},
    {"GET", "/dashboard", right::none, &openai_api::dashboard},
    {"GET", "/faults", right::admin, &openai_api::faults},
    {"GET", drain_path, right::admin, &openai_api::drain},
    {"POST", drain_path, right::admin, &openai_api::begin_drain},
    {"DELETE", drain_path, right::admin, &openai_api::undrain},
    {"GET", log_level_path, right::admin, &openai_api::log_level},
    {"PUT", log_level_path, right::admin, &openai_api::set_log_level},
  };
  return all;
}

openai_api::found_route openai_api::find(const request_head& head,
                                         bool is_admin) {
  found_route out;
  auto method = head.method == "HEAD" ? "GET" : head.method;
  for (const auto& x : routes()) {
    bool is_it = is_path_of(x.path, head.path);
    bool is_there = x.needs != (is_admin ? right::ask : right::admin);
    if (!is_it || !is_there)
      continue;
    out.methods += (out.methods.empty() ? "" : ", ") + std::string{x.method};
    out.open = is_admin || x.needs == right::none;
    if (method == x.method)
      out.it = &x;
  }
  return out;
}

std::vector<route_right> openai_api::rights() {
  std::vector<route_right> out;
  for (const auto& x : routes())
    out.push_back({x.method, x.path, x.needs});
  return out;
}

std::optional<reply> openai_api::refuse_head(const request_head& head) {
  return refuse_head(head, false);
}

std::optional<reply> openai_api::refuse_head(const request_head& head,
                                             bool is_admin) {
  auto found = find(head, is_admin);
  auto refuse = [&](reply what) { return counted("other", std::move(what)); };
  if (auto word = is_admin ? std::nullopt : pages_.answer(head, found.methods))
    return refuse(std::move(*word));
  if (auto word = whole_server(head))
    return refuse(std::move(*word));
  bool open = is_admin || found.open
              || (options_.open_metrics && head.path == metrics_path);
  auto holder = keys_.holder_of(head);
  if (!open && !holder)
    return refuse(told_to(head, wrong_key(head)));
  if (!found.it)
    return refuse(no_such_route(head, found.methods));
  if (retired_ && !is_admin && !is_watched(*found.it))
    return refuse(told_to(head, retiring()));
  if (auto word = refuse_body(head, found.it->method[0] == 'P'))
    return refuse(std::move(*word));
  if (holder && is_limited(*found.it))
    if (auto why = holder->quota.admit(sources_.now()))
      return refuse(told_to(head, over_quota(*why)));
  return std::nullopt;
}

header_list openai_api::headers_for(const request_head& head) {
  auto out = pages_.headers_for(head.origin);
  if (head.path.starts_with(messages_path) && !head.request_id.empty())
    out.emplace_back("request-id", head.request_id); // Anthropic's name for it
  auto found = find(head, false);
  auto holder = keys_.holder_of(head);
  if (!holder || !found.it || !is_limited(*found.it))
    return out;
  for (auto& x : holder->quota.headers(sources_.now()))
    out.push_back(std::move(x));
  return out;
}

void openai_api::handle(request what, respond to) {
  handle(std::move(what), std::move(to), false);
}

void openai_api::handle(request what, respond to, bool is_admin) {
  auto found = find(what, is_admin);
  const auto* x = found.it;
  CHECK(x != nullptr); // or its head would have been refused
  auto is_open = found.open || x->needs == right::observe; // see refuse_head
  if (!is_open && !keys_.holder_of(what)) // its key has been taken away since
    return answer(x->path, told_to(what, wrong_key(what)), to);
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
  desk_.context().metrics.count_request(route, what.status);
  return what;
}

// -- what is answered at once -------------------------------------------------

void openai_api::models(request, respond to) {
  auto length = serving_.info().max_model_len;
  auto body = render_models(options_.model, created_, length);
  answer("/v1/models", with_body(std::move(body)), to);
}

void openai_api::model(request what, respond to) {
  auto name = rest_of(what.path, model_path);
  if (name != options_.model)
    return answer(model_path, to_reply(unknown_model(name)), to);
  auto length = serving_.info().max_model_len;
  auto body = render_model(options_.model, created_, length);
  answer(model_path, with_body(std::move(body)), to);
}

/// It answers: starting it anew would help nobody.
void openai_api::live(request, respond to) {
  answer("/health/live", with_body(render_health(health_status::ok, "", {})),
         to);
}

void openai_api::health(request, respond to) {
  auto trouble = serving_.trouble().value_or("");
  if (trouble.empty() && retired_)
    trouble = retiring().message;
  auto is = health_status::ok;
  if (!trouble.empty())
    is = !retired_ && serving_.cluster().takes_requests
           ? health_status::degraded
           : health_status::unavailable;
  reply x;
  x.status = is == health_status::unavailable ? 503 : 200;
  x.body = render_health(is, trouble, active_faults());
  answer("/health", std::move(x), to);
}

void openai_api::version(request, respond to) {
  answer("/version", with_body(render_version(options_.version)), to);
}

void openai_api::load(request, respond to) {
  answer("/v1/load", with_body(render_load(serving_.stats())), to);
}

void openai_api::metrics(request, respond to) {
  reply x;
  x.content_type = "text/plain; version=0.0.4; charset=utf-8";
  auto connections = sources_.connections ? sources_.connections->read()
                                          : server_stats{};
  x.body = desk_.context().metrics.render(serving_.stats(), serving_.info(),
                                          connections,
                                          options_.limits.grammars->counted());
  answer("/metrics", std::move(x), to);
}

// Of large models with many replicas these are long.

void openai_api::cluster(request what, respond to) {
  enqueue(cluster_path, std::move(what), to, [this, to](auto&, auto&) {
    answer(cluster_path, with_body(render_cluster(serving_.cluster())), to);
  });
}

void openai_api::experts(request what, respond to) {
  enqueue(experts_path, std::move(what), to, [this, to](auto&, auto&) {
    answer(experts_path, with_body(render_experts(serving_.cluster())), to);
  });
}

void openai_api::dashboard(request, respond to) {
  answer("/dashboard", render_dashboard(), to);
}

void openai_api::faults(request, respond to) {
  answer("/faults", with_body(render_faults(active_faults())), to);
}

void openai_api::log_level(request, respond to) {
  auto level = sources_.logs ? sources_.logs->level()
                             : troupe::log_level::error;
  answer(log_level_path, with_body(render_log_level(level)), to);
}

void openai_api::set_log_level(request what, respond to) {
  auto level = parse_log_level_body(what.body);
  if (auto* error = std::get_if<api_error>(&level))
    return answer(log_level_path, to_reply(*error), to);
  if (sources_.logs)
    sources_.logs->set_level(std::get<troupe::log_level>(level));
  log_level(std::move(what), std::move(to));
}

void openai_api::drain(request, respond to) {
  answer(drain_path, with_body(render_drain(serving_.cluster().drain)), to);
}

void openai_api::begin_drain(request what, respond to) {
  auto wish = parse_drain_body(what.body);
  if (auto* error = std::get_if<api_error>(&wish))
    return answer(drain_path, to_reply(*error), to);
  auto& x = std::get<drain_wish>(wish);
  // It may be heard when this is gone.
  serving_.drain(x.node, x.limit, [x, to](const result<void>& begun) {
    to->answer(drain_answer(x, begun));
  });
}

void openai_api::undrain(request, respond to) {
  // As above; the service is there when it says so.
  serving_.undrain("", [to, &from = serving_](const result<void>& done) {
    to->answer(
      undrain_answer(done, done ? from.cluster().drain : std::nullopt));
  });
}

std::vector<std::string> openai_api::active_faults() const {
  return sources_.active_faults ? sources_.active_faults()
                                : std::vector<std::string>{};
}

// -- completions --------------------------------------------------------------

void openai_api::enqueue(const std::string& route, request what,
                         const respond& to, work job) {
  asking by{keys_.holder_of(what), sources_.now()};
  if (!by.holder) // of the admin socket
    by.holder = std::make_shared<key_holder>("", "", quota_limits{});
  auto& id = by.holder->id;
  auto whose = std::hash<std::string>{}(id.empty() ? what.client : id);
  auto bytes = what.body.size();
  auto name = what.request_id;
  auto limited = what.method == "POST" ? by.holder : nullptr; // see is_limited
  auto& queue = bytes <= options_.short_body ? short_requests_ : long_requests_;
  auto read = [to, job = std::move(job), what = std::move(what),
               by = std::move(by)] {
    if (to->is_gone())
      return false;
    job(what, by);
    return true;
  };
  if (queue.post(whose, std::move(read), bytes + least_cost))
    return;
  if (limited)
    limited->quota.give_back(0, sources_.now());
  answer(route,
         told_to(
           route, name,
           to_api_error({errc::overloaded, "Too many requests are waiting; try "
                                           "again later."})),
         to);
}

std::string openai_api::new_id(const char* prefix) const {
  auto high = sources_.random_bits();
  return prefix + hex(high, sources_.random_bits());
}

generation_plan openai_api::plan(const request& what, const char* prompt_field,
                                 const asking& by,
                                 std::shared_ptr<answer_form> form) const {
  generation_plan x;
  x.asked_by = by.holder;
  x.form = std::move(form);
  x.route = what.path;
  x.name = what.request_id;
  x.prompt_field = prompt_field;
  x.arrival = by.arrival;
  return x;
}

std::shared_ptr<answer_form>
openai_api::completion_form(completion_kind kind, const char* prefix) const {
  return make_completion_form({kind, new_id(prefix), options_.model,
                               options_.fingerprint, sources_.unix_time()});
}

void openai_api::read_later(const char* path, request what, respond to,
                            reading read) {
  enqueue(path, std::move(what), to,
          [this, read, to](const request& x, const asking& by) {
            (this->*read)(x, to, by);
          });
}

void openai_api::chat(request what, respond to) {
  read_later(chat_path, std::move(what), std::move(to),
             &openai_api::start_chat);
}

void openai_api::text(request what, respond to) {
  read_later(text_path, std::move(what), std::move(to),
             &openai_api::start_text);
}

void openai_api::messages(request what, respond to) {
  read_later(messages_path, std::move(what), std::move(to),
             &openai_api::start_messages);
}

void openai_api::count_tokens(request what, respond to) {
  read_later(count_path, std::move(what), std::move(to),
             &openai_api::start_count);
}

void openai_api::response(request what, respond to) {
  read_later(responses_path, std::move(what), std::move(to),
             &openai_api::start_response);
}

template <class T>
void openai_api::start(parsed<T> body, generation_plan plan,
                       const respond& to) {
  if (auto* error = std::get_if<api_error>(&body))
    desk_.refuse(plan, *error, to);
  else
    desk_.start(std::move(std::get<T>(body)), std::move(plan), to);
}

void openai_api::start_chat(const request& what, const respond& to,
                            const asking& by) {
  start(parse_chat_request(what.body, options_.defaults, options_.limits),
        plan(what, "messages", by,
             completion_form(completion_kind::chat, "chatcmpl-")),
        to);
}

void openai_api::start_text(const request& what, const respond& to,
                            const asking& by) {
  start(
    parse_text_request(what.body, options_.defaults, options_.limits),
    plan(what, "prompt", by, completion_form(completion_kind::text, "cmpl-")),
    to);
}

void openai_api::start_messages(const request& what, const respond& to,
                                const asking& by) {
  start(
    parse_messages_request(what.body, false, options_.defaults,
                           options_.limits),
    plan(what, "messages", by,
         make_messages_form(new_id("msg_"), options_.model, what.request_id)),
    to);
}

void openai_api::start_count(const request& what, const respond& to,
                             const asking&) {
  auto refuse = [&](const api_error& x) {
    answer(count_path, to_messages_reply(x, what.request_id), to);
  };
  auto body = parse_messages_request(what.body, true, options_.defaults,
                                     options_.limits);
  if (auto* error = std::get_if<api_error>(&body))
    return refuse(*error);
  auto& asked = std::get<chat_request>(body);
  if (asked.options.model != options_.model)
    return refuse(unknown_model(asked.options.model));
  auto prompt = desk_.render_chat(asked);
  if (auto* error = std::get_if<api_error>(&prompt))
    return refuse(*error);
  auto count = std::get<chat_prompt>(prompt).ids.size();
  answer(count_path, with_body(render_token_count(count)), to);
}

void openai_api::start_response(const request& what, const respond& to,
                                const asking& by) {
  response_head head{new_id("resp_"), options_.model, sources_.unix_time()};
  auto planned = plan(what, "input", by, make_response_form(head, {}));
  responses_.start(what.body, std::move(head), std::move(planned), to);
}

void openai_api::get_response(request what, respond to) {
  auto tell = [this, to](const request& x) {
    auto id = rest_of(x.path, response_path);
    answer(response_path, responses_.get(keys_.holder_of(x), id, x.query), to);
  };
  if (what.query.empty())
    tell(what);
  else
    enqueue(response_path, std::move(what), to,
            [tell](auto& x, auto&) { tell(x); });
}

void openai_api::delete_response(request what, respond to) {
  auto id = rest_of(what.path, response_path);
  answer(response_path, responses_.erase(keys_.holder_of(what), id), to);
}

// -- tokens -------------------------------------------------------------------

void openai_api::tokenize(request what, respond to) {
  enqueue(tokenize_path, std::move(what), to, [this, to](auto& x, auto&) {
    auto length = serving_.info().max_model_len;
    answer(tokenize_path, words_.tokenize(x.body, length), to);
  });
}

void openai_api::detokenize(request what, respond to) {
  enqueue(detokenize_path, std::move(what), to, [this, to](auto& x, auto&) {
    answer(detokenize_path, words_.detokenize(x.body), to);
  });
}

void openai_api::tokenizer_info(request, respond to) {
  answer(info_path, with_body(options_.tokenizer_info), to);
}

} // namespace troupe::http
