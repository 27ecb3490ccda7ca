#include "runtime/http/messages_answer.hpp"

#include "runtime/http/block_form.hpp"
#include "runtime/json/dump_text.hpp"
#include "runtime/json/text_or_null.hpp"

#include <nlohmann/json.hpp>

namespace troupe::http {

namespace {

using nlohmann::ordered_json;

std::string event(const ordered_json& x) {
  return "event: " + x["type"].get<std::string>() + "\ndata: " + dump_text(x)
         + "\n\n";
}

const char* error_type(unsigned status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 413:
      return "request_too_large";
    case 429:
      return "rate_limit_error";
    case 504:
      return "timeout_error";
    default:
      return status < 500 ? "invalid_request_error" : "api_error";
  }
}

ordered_json render(const api_error& why, const std::string& request_id) {
  return {
    {"type", "error"},
    {"error", {{"type", error_type(why.status)}, {"message", why.message}}},
    {"request_id", text_or_null(request_id)}};
}

ordered_json messages_usage(const usage& x) {
  return {{"input_tokens", x.prompt_tokens - x.cached_tokens},
          {"cache_creation_input_tokens", 0},
          {"cache_read_input_tokens", x.cached_tokens},
          {"output_tokens", x.completion_tokens},
          {"output_tokens_details", {{"thinking_tokens", x.reasoning_tokens}}}};
}

const char* stop_reason(const answer_end& x) {
  if (x.why == finish_reason::length)
    return "max_tokens";
  if (!x.stop.empty())
    return "stop_sequence";
  return x.has_called ? "tool_use" : "end_turn";
}

/// Where the tokens ran out within a call its arguments are none.
ordered_json input_of(const std::string& arguments) {
  auto x = ordered_json::parse(arguments, nullptr, false);
  return x.is_object() ? x : ordered_json::object();
}

class messages_form : public block_form {
public:
  messages_form(std::string id, std::string model, std::string request_id)
    : id_(std::move(id)), model_(std::move(model)),
      request_id_(std::move(request_id)) {
  }

  std::string begin(const usage& used) override {
    auto message = head();
    message["content"] = ordered_json::array();
    message["stop_reason"] = nullptr;
    message["stop_sequence"] = nullptr;
    message["usage"] = messages_usage(used);
    return event({{"type", "message_start"}, {"message", message}}) + filler();
  }

  std::string last(const usage& used, bool) override {
    ordered_json delta = {{"stop_reason", stop_reason(end())},
                          {"stop_sequence", stop_sequence()}};
    return event({{"type", "message_delta"},
                  {"delta", delta},
                  {"usage", messages_usage(used)}})
           + event({{"type", "message_stop"}});
  }

  std::string error(const api_error& why) override {
    return event(render(why, request_id_));
  }

  reply refusal(const api_error& why) const override {
    return to_messages_reply(why, request_id_);
  }

  std::string filler() const override {
    return event({{"type", "ping"}});
  }

protected:
  std::string opened(size_t i) override {
    auto x = blocks()[i];
    x.text.clear();
    return event({{"type", "content_block_start"},
                  {"index", i},
                  {"content_block", block(i, x)}});
  }

  std::string extended(size_t i, const std::string& more) override {
    switch (blocks()[i].kind) {
      case block_kind::thought:
        return delta(i, "thinking_delta", "thinking", more);
      case block_kind::speech:
        return delta(i, "text_delta", "text", more);
      case block_kind::call:
        break;
    }
    return delta(i, "input_json_delta", "partial_json", more);
  }

  std::string closed(size_t i) override {
    return event({{"type", "content_block_stop"}, {"index", i}});
  }

  std::string body(const usage& used) override {
    auto message = head();
    message["content"] = ordered_json::array();
    for (size_t i = 0; i < blocks().size(); ++i)
      message["content"].push_back(block(i, blocks()[i]));
    message["stop_reason"] = stop_reason(end());
    message["stop_sequence"] = stop_sequence();
    message["usage"] = messages_usage(used);
    return dump_text(message);
  }

private:
  ordered_json head() const {
    return {{"id", id_},
            {"type", "message"},
            {"role", "assistant"},
            {"model", model_}};
  }

  ordered_json stop_sequence() const {
    return text_or_null(end().stop);
  }

  ordered_json block(size_t i, const answer_block& x) const {
    switch (x.kind) {
      case block_kind::thought:
        return {{"type", "thinking"}, {"thinking", x.text}, {"signature", ""}};
      case block_kind::speech:
        return {{"type", "text"}, {"text", x.text}};
      case block_kind::call:
        break;
    }
    return {{"type", "tool_use"},
            {"id", "toolu_" + id_.substr(id_.find('_') + 1) + "_"
                     + std::to_string(i)},
            {"name", x.name},
            {"input", input_of(x.text)}};
  }

  static std::string delta(size_t i, const char* type, const char* member,
                           const std::string& more) {
    return event({{"type", "content_block_delta"},
                  {"index", i},
                  {"delta", {{"type", type}, {member, more}}}});
  }

  const std::string id_;
  const std::string model_;
  const std::string request_id_;
};

} // namespace

std::unique_ptr<answer_form>
make_messages_form(std::string id, std::string model, std::string request_id) {
  return std::make_unique<messages_form>(std::move(id), std::move(model),
                                         std::move(request_id));
}

reply to_messages_reply(const api_error& why, const std::string& request_id) {
  auto out = to_reply(why);
  out.body = dump_text(render(why, request_id));
  return out;
}

std::string render_token_count(size_t count) {
  return dump_text({{"input_tokens", count}});
}

} // namespace troupe::http
