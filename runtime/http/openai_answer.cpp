#include "runtime/http/openai_answer.hpp"

#include <nlohmann/json.hpp>

namespace troupe::http {

namespace {

using json = nlohmann::ordered_json;

std::string dump(const json& x) {
  return x.dump(-1, ' ', false, json::error_handler_t::replace);
}

std::string event(const json& x) {
  return "data: " + dump(x) + "\n\n";
}

const char* to_string(finish_reason x) {
  return x == finish_reason::length ? "length" : "stop";
}

json render_head(const completion_head& head, bool chunk) {
  auto object = head.kind == completion_kind::text ? "text_completion"
                : chunk                            ? "chat.completion.chunk"
                                                   : "chat.completion";
  return {{"id", head.id},
          {"object", object},
          {"created", head.created},
          {"model", head.model},
          {"system_fingerprint", head.fingerprint}};
}

json render(const usage& x) {
  return {
    {"prompt_tokens", x.prompt_tokens},
    {"completion_tokens", x.completion_tokens},
    {"total_tokens", x.prompt_tokens + x.completion_tokens},
    {"prompt_tokens_details", {{"cached_tokens", 0}}},
    {"completion_tokens_details", {{"reasoning_tokens", x.reasoning_tokens}}}};
}

json with_choice(json body, json choice, bool with_usage) {
  body["choices"] = json::array({std::move(choice)});
  if (with_usage)
    body["usage"] = nullptr;
  return body;
}

json render_choice(const completion_head& head, const answer_piece& piece,
                   bool first, json finish) {
  json choice = {{"index", 0}};
  if (head.kind == completion_kind::text) {
    choice["text"] = piece.reasoning + piece.content;
  } else {
    auto delta = json::object();
    if (first)
      delta["role"] = "assistant";
    if (!piece.reasoning.empty())
      delta["reasoning_content"] = piece.reasoning;
    if (!piece.content.empty())
      delta["content"] = piece.content;
    choice["delta"] = std::move(delta);
  }
  choice["logprobs"] = nullptr;
  choice["finish_reason"] = std::move(finish);
  return choice;
}

json render_one_model(const std::string& model, int64_t created,
                      uint32_t max_model_len) {
  return {{"id", model},
          {"object", "model"},
          {"created", created},
          {"owned_by", "troupe"},
          {"max_model_len", max_model_len}};
}

} // namespace

std::string render_whole(const completion_head& head, const answer_piece& all,
                         finish_reason finish, const usage& used) {
  json choice = {{"index", 0}};
  if (head.kind == completion_kind::text) {
    choice["text"] = all.reasoning + all.content;
  } else {
    json message = {{"role", "assistant"}, {"content", all.content}};
    if (!all.reasoning.empty())
      message["reasoning_content"] = all.reasoning;
    choice["message"] = std::move(message);
  }
  choice["logprobs"] = nullptr;
  choice["finish_reason"] = to_string(finish);
  auto body = with_choice(render_head(head, false), std::move(choice), false);
  body["usage"] = render(used);
  return dump(body);
}

std::string render_piece(const completion_head& head, const answer_piece& piece,
                         bool first, bool with_usage) {
  return event(with_choice(render_head(head, true),
                           render_choice(head, piece, first, nullptr),
                           with_usage));
}

std::string render_finish(const completion_head& head, finish_reason finish,
                          bool first, bool with_usage) {
  return event(with_choice(render_head(head, true),
                           render_choice(head, {}, first, to_string(finish)),
                           with_usage));
}

std::string render_usage(const completion_head& head, const usage& used) {
  auto body = render_head(head, true);
  body["choices"] = json::array();
  body["usage"] = render(used);
  return event(body);
}

std::string render_error_event(const api_error& error) {
  return "data: " + render_error(error) + "\n\n";
}

std::string render_models(const std::string& model, int64_t created,
                          uint32_t max_model_len) {
  auto one = render_one_model(model, created, max_model_len);
  return dump({{"object", "list"}, {"data", json::array({std::move(one)})}});
}

std::string render_model(const std::string& model, int64_t created,
                         uint32_t max_model_len) {
  return dump(render_one_model(model, created, max_model_len));
}

std::string render_version(const std::string& version) {
  return dump({{"version", version}});
}

std::string render_load(const service_stats& stats) {
  return dump({{"server_load", stats.requests_running + stats.requests_waiting},
               {"requests_running", stats.requests_running},
               {"requests_waiting", stats.requests_waiting},
               {"kv_blocks", stats.kv_blocks_total},
               {"kv_blocks_free", stats.kv_blocks_free}});
}

std::string render_health(const std::string& trouble,
                          const std::vector<std::string>& faults) {
  json out{{"status", trouble.empty() ? "ok" : "unavailable"}};
  if (!trouble.empty())
    out["reason"] = trouble;
  if (!faults.empty())
    out["faults"] = faults;
  return dump(out);
}

} // namespace troupe::http
