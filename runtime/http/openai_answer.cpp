#include "runtime/http/openai_answer.hpp"

#include "runtime/json/dump_text.hpp"
#include "runtime/json/text_or_null.hpp"

#include <nlohmann/json.hpp>

namespace troupe::http {

namespace {

using nlohmann::ordered_json;

std::string event(const ordered_json& x) {
  return "data: " + dump_text(x) + "\n\n";
}

const char* to_string(const answer_end& x) {
  if (x.why == finish_reason::length)
    return "length";
  return x.has_called ? "tool_calls" : "stop";
}

ordered_json render_head(const completion_head& head, bool chunk) {
  auto object = head.kind == completion_kind::text ? "text_completion"
                : chunk                            ? "chat.completion.chunk"
                                                   : "chat.completion";
  return {{"id", head.id},
          {"object", object},
          {"created", head.created},
          {"model", head.model},
          {"system_fingerprint", head.fingerprint}};
}

ordered_json openai_usage(const usage& x) {
  return {
    {"prompt_tokens", x.prompt_tokens},
    {"completion_tokens", x.completion_tokens},
    {"total_tokens", x.prompt_tokens + x.completion_tokens},
    {"prompt_tokens_details", {{"cached_tokens", x.cached_tokens}}},
    {"completion_tokens_details", {{"reasoning_tokens", x.reasoning_tokens}}}};
}

ordered_json render_stop(const answer_end& end) {
  if (end.stop_id)
    return *end.stop_id;
  return text_or_null(end.stop);
}

ordered_json render_token(const shown_token& x) {
  auto bytes = ordered_json::array();
  for (auto c : x.bytes)
    bytes.push_back(static_cast<uint8_t>(c));
  return {{"token", x.text}, {"logprob", x.logprob}, {"bytes", bytes}};
}

ordered_json render_chat_scores(const std::vector<scored_token>& all) {
  auto content = ordered_json::array();
  for (auto& x : all) {
    auto one = render_token(x.own);
    one["top_logprobs"] = ordered_json::array();
    for (auto& other : x.best)
      one["top_logprobs"].push_back(render_token(other));
    content.push_back(std::move(one));
  }
  return {{"content", std::move(content)}, {"refusal", nullptr}};
}

/// Of several tokens of one text the likeliest counts.
ordered_json render_best(const scored_token& x) {
  if (!x.has_score)
    return nullptr;
  auto out = ordered_json::object();
  for (auto& other : x.best)
    out.emplace(other.text, other.logprob);
  out.emplace(x.own.text, x.own.logprob);
  return out;
}

ordered_json render_text_scores(const std::vector<scored_token>& all) {
  ordered_json out = {{"text_offset", ordered_json::array()},
                      {"token_logprobs", ordered_json::array()},
                      {"tokens", ordered_json::array()},
                      {"top_logprobs", ordered_json::array()}};
  for (auto& x : all) {
    out["text_offset"].push_back(x.offset);
    out["token_logprobs"].push_back(x.has_score ? ordered_json(x.own.logprob)
                                                : ordered_json());
    out["tokens"].push_back(x.own.text);
    out["top_logprobs"].push_back(render_best(x));
  }
  return out;
}

ordered_json render_scores(completion_kind kind,
                           const std::vector<scored_token>& all) {
  if (all.empty())
    return nullptr;
  return kind == completion_kind::chat ? render_chat_scores(all)
                                       : render_text_scores(all);
}

/// `end`: null as long as there is none.
void add_end(ordered_json& choice, completion_kind kind,
             const std::vector<scored_token>& scores, const answer_end* end) {
  choice["logprobs"] = render_scores(kind, scores);
  choice["finish_reason"] = end ? ordered_json(to_string(*end))
                                : ordered_json();
  if (end)
    choice["stop_reason"] = render_stop(*end);
}

/// `in_part`: of a stream, where only the first piece of a call has a name.
ordered_json render_call(const completion_head& head, size_t answer,
                         const tool_call_piece& x, bool in_part) {
  ordered_json out = ordered_json::object();
  if (in_part)
    out["index"] = x.index;
  ordered_json function = ordered_json::object();
  if (x.is_first) {
    out["id"] = "call_" + head.id.substr(head.id.find('-') + 1) + "_"
                + std::to_string(answer) + "_" + std::to_string(x.index);
    out["type"] = "function";
    function["name"] = x.name;
  }
  function["arguments"] = x.arguments;
  out["function"] = std::move(function);
  return out;
}

ordered_json render_calls(const completion_head& head, size_t answer,
                          const std::vector<tool_call_piece>& all,
                          bool in_part) {
  auto out = ordered_json::array();
  for (auto& x : all)
    out.push_back(render_call(head, answer, x, in_part));
  return out;
}

std::string render_chunk(const completion_head& head, const answer_chunk& x,
                         const answer_end* end) {
  ordered_json choice = {{"index", x.index}};
  auto& piece = x.piece;
  if (head.kind == completion_kind::text) {
    choice["text"] = piece.reasoning + piece.content;
  } else {
    auto delta = ordered_json::object();
    if (x.is_first)
      delta["role"] = "assistant";
    if (!piece.reasoning.empty())
      delta["reasoning_content"] = piece.reasoning;
    if (!piece.content.empty())
      delta["content"] = piece.content;
    if (!piece.calls.empty())
      delta["tool_calls"] = render_calls(head, x.index, piece.calls, true);
    choice["delta"] = std::move(delta);
  }
  add_end(choice, head.kind, x.scores, end);
  auto body = render_head(head, true);
  body["choices"] = ordered_json::array({std::move(choice)});
  if (x.with_usage)
    body["usage"] = x.used ? openai_usage(*x.used) : ordered_json();
  return event(body);
}

ordered_json render_answer(const completion_head& head, size_t index,
                           const whole_answer& x) {
  ordered_json choice = {{"index", index}};
  if (head.kind == completion_kind::text) {
    choice["text"] = x.piece.reasoning + x.piece.content;
  } else {
    ordered_json message = {{"role", "assistant"},
                            {"content", x.piece.content}};
    if (!x.piece.reasoning.empty())
      message["reasoning_content"] = x.piece.reasoning;
    if (!x.piece.calls.empty()) {
      message["tool_calls"] = render_calls(head, index, x.piece.calls, false);
      if (x.piece.content.empty())
        message["content"] = nullptr;
    }
    choice["message"] = std::move(message);
  }
  add_end(choice, head.kind, x.scores, &x.end);
  return choice;
}

/// A comment, which readers of events skip.
constexpr const char* keep_alive = ": keep-alive\n\n";

/// The last event of every stream that did not fail.
constexpr const char* done_event = "data: [DONE]\n\n";

class completion_form : public answer_form {
public:
  explicit completion_form(completion_head head) : head_(std::move(head)) {
  }

  std::string begin(const usage&) override {
    return {};
  }

  std::string piece(const answer_chunk& x) override {
    return render_chunk(head_, x, nullptr);
  }

  std::string finish(const answer_chunk& x, const answer_end& end) override {
    return render_chunk(head_, x, &end);
  }

  std::string last(const usage& used, bool wanted) override {
    if (!wanted)
      return done_event;
    auto body = render_head(head_, true);
    body["choices"] = ordered_json::array();
    body["usage"] = openai_usage(used);
    return event(body) + done_event;
  }

  std::string error(const api_error& why) override {
    return "data: " + render_error(why) + "\n\n";
  }

  std::string whole(const std::vector<whole_answer>& all,
                    const usage& used) override {
    auto body = render_head(head_, false);
    body["choices"] = ordered_json::array();
    for (size_t i = 0; i < all.size(); ++i)
      body["choices"].push_back(render_answer(head_, i, all[i]));
    body["usage"] = openai_usage(used);
    return dump_text(body);
  }

  reply refusal(const api_error& why) const override {
    return to_reply(why);
  }

  std::string filler() const override {
    return keep_alive;
  }

private:
  const completion_head head_;
};

ordered_json render_one_model(const std::string& model, int64_t created,
                              uint32_t max_model_len) {
  return {{"id", model},
          {"object", "model"},
          {"created", created},
          {"owned_by", "troupe"},
          {"max_model_len", max_model_len}};
}

} // namespace

std::unique_ptr<answer_form> make_completion_form(completion_head head) {
  return std::make_unique<completion_form>(std::move(head));
}

std::string render_models(const std::string& model, int64_t created,
                          uint32_t max_model_len) {
  auto one = render_one_model(model, created, max_model_len);
  return dump_text(
    {{"object", "list"}, {"data", ordered_json::array({std::move(one)})}});
}

std::string render_model(const std::string& model, int64_t created,
                         uint32_t max_model_len) {
  return dump_text(render_one_model(model, created, max_model_len));
}

std::string render_version(const std::string& version) {
  return dump_text({{"version", version}});
}

std::string render_load(const service_stats& stats) {
  return dump_text(
    {{"server_load", stats.requests_running + stats.requests_waiting},
     {"requests_running", stats.requests_running},
     {"requests_waiting", stats.requests_waiting},
     {"kv_blocks", stats.kv_blocks_total},
     {"kv_blocks_free", stats.kv_blocks_free}});
}

std::string render_health(health_status is, const std::string& trouble,
                          const std::vector<std::string>& faults) {
  const char* names[] = {"ok", "degraded", "unavailable"};
  ordered_json out{{"status", names[size_t(is)]}};
  if (!trouble.empty())
    out["reason"] = trouble;
  if (!faults.empty())
    out["faults"] = faults;
  return dump_text(out);
}

} // namespace troupe::http
