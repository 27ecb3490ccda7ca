#include "runtime/http/responses_answer.hpp"

#include "runtime/http/block_form.hpp"
#include "runtime/json/dump_text.hpp"

#include <nlohmann/json.hpp>

namespace troupe::http {

namespace {

using nlohmann::json;

json responses_usage(const usage& x) {
  return {{"input_tokens", x.prompt_tokens},
          {"input_tokens_details", {{"cached_tokens", x.cached_tokens}}},
          {"output_tokens", x.completion_tokens},
          {"output_tokens_details", {{"reasoning_tokens", x.reasoning_tokens}}},
          {"total_tokens", x.prompt_tokens + x.completion_tokens}};
}

json text_part(const std::string& text) {
  return {{"type", "output_text"},
          {"text", text},
          {"annotations", json::array()},
          {"logprobs", json::array()}};
}

json thought_part(const std::string& text) {
  return {{"type", "reasoning_text"}, {"text", text}};
}

json error_of(const api_error& why) {
  return {{"code", why.status == 429 ? "rate_limit_exceeded" : "server_error"},
          {"message", why.message}};
}

class response_form : public block_form {
public:
  /// `first`: the number of the first event that is told.
  explicit response_form(response_head head, response_keeper keep = {},
                         uint64_t first = 0)
    : head_(std::move(head)), keep_(std::move(keep)), first_(first) {
  }

  std::string begin(const usage&) override {
    auto x = response("in_progress", nullptr);
    x["output"] = json::array();
    auto out = event("response.created", {{"response", x}}); // numbered first
    return out + event("response.in_progress", {{"response", x}});
  }

  std::string last(const usage& used, bool) override {
    auto x = finished(used);
    keep(x);
    auto type = "response." + x["status"].get<std::string>();
    return event(type, {{"response", std::move(x)}});
  }

  std::string error(const api_error& why) override {
    auto x = response("failed", nullptr);
    x["error"] = error_of(why);
    x["output"] = output();
    return event("response.failed", {{"response", std::move(x)}});
  }

  reply refusal(const api_error& why) const override {
    return to_reply(why);
  }

  std::string filler() const override {
    return ": keep-alive\n\n";
  }

protected:
  std::string opened(size_t i) override {
    auto x = blocks()[i];
    x.text.clear();
    auto out = event("response.output_item.added",
                     {{"output_index", i}, {"item", item(i, x, false)}});
    if (x.kind == block_kind::call)
      return out;
    auto where = place(i);
    where["part"] = part(x);
    return out + event("response.content_part.added", where);
  }

  std::string extended(size_t i, const std::string& more) override {
    if (keep_)
      pieces_.push_back(static_cast<uint32_t>(more.size()));
    auto where = place(i);
    where["delta"] = more;
    if (blocks()[i].kind == block_kind::speech)
      where["logprobs"] = json::array();
    return event(name(i) + ".delta", where);
  }

  std::string closed(size_t i) override {
    const auto& x = blocks()[i];
    auto where = place(i);
    bool is_call = x.kind == block_kind::call;
    where[is_call ? "arguments" : "text"] = x.text;
    if (is_call)
      where["name"] = x.name;
    if (x.kind == block_kind::speech)
      where["logprobs"] = json::array();
    auto out = event(name(i) + ".done", where);
    if (!is_call) {
      where = place(i);
      where["part"] = part(x);
      out += event("response.content_part.done", where);
    }
    return out
           + event("response.output_item.done",
                   {{"output_index", i}, {"item", item(i, x, true)}});
  }

  std::string body(const usage& used) override {
    auto x = finished(used);
    keep(x);
    return dump_text(x);
  }

private:
  std::string event(const std::string& type, const json& members) {
    auto number = num_events_++;
    if (number < first_)
      return {};
    json x = {{"type", type}, {"sequence_number", number}};
    x.update(members);
    return "event: " + type + "\ndata: " + dump_text(x) + "\n\n";
  }

  json response(const char* status, const json& used) const {
    json out = {{"id", head_.id},
                {"object", "response"},
                {"created_at", head_.created},
                {"status", status},
                {"background", false},
                {"error", nullptr},
                {"incomplete_details", nullptr},
                {"model", head_.model}};
    out.update(json::parse(head_.repeated));
    out["usage"] = used;
    return out;
  }

  json finished(const usage& used) const {
    bool is_short = end().why == finish_reason::length;
    auto out = response(is_short ? "incomplete" : "completed",
                        responses_usage(used));
    if (is_short)
      out["incomplete_details"] = {{"reason", "max_output_tokens"}};
    out["output"] = output();
    return out;
  }

  json output() const {
    auto out = json::array();
    for (size_t i = 0; i < blocks().size(); ++i)
      out.push_back(item(i, blocks()[i], true));
    return out;
  }

  void keep(const json& response) {
    if (!keep_)
      return;
    chat_message turn;
    turn.role = chat_role::assistant;
    for (size_t i = 0; i < blocks().size(); ++i) {
      const auto& x = blocks()[i];
      if (x.kind == block_kind::speech)
        turn.content += x.text;
      else if (x.kind == block_kind::call)
        turn.tool_calls.push_back({"function", x.name, x.text, call_id(i)});
    }
    keep_({dump_text(response), std::move(pieces_), std::move(turn)});
  }

  std::string id(const char* prefix, size_t i) const {
    return prefix + head_.id.substr(head_.id.find('_')) + "_"
           + std::to_string(i);
  }

  std::string call_id(size_t i) const {
    return id("call", i);
  }

  std::string item_id(size_t i) const {
    auto kind = blocks()[i].kind;
    return id(kind == block_kind::thought  ? "rs"
              : kind == block_kind::speech ? "msg"
                                           : "fc",
              i);
  }

  std::string name(size_t i) const {
    auto kind = blocks()[i].kind;
    return kind == block_kind::thought  ? "response.reasoning_text"
           : kind == block_kind::speech ? "response.output_text"
                                        : "response.function_call_arguments";
  }

  json place(size_t i) const {
    json out = {{"item_id", item_id(i)}, {"output_index", i}};
    if (blocks()[i].kind != block_kind::call)
      out["content_index"] = 0;
    return out;
  }

  static json part(const answer_block& x) {
    return x.kind == block_kind::thought ? thought_part(x.text)
                                         : text_part(x.text);
  }

  /// The last block of an answer that was cut is not complete either.
  json item(size_t i, const answer_block& x, bool is_done) const {
    bool is_cut = end().why == finish_reason::length
                  && i + 1 == blocks().size();
    auto status = !is_done ? "in_progress"
                  : is_cut ? "incomplete"
                           : "completed";
    auto content = is_done ? json::array({part(x)}) : json::array();
    json out = {{"id", item_id(i)}};
    switch (x.kind) {
      case block_kind::thought:
        out.update({{"type", "reasoning"},
                    {"summary", json::array()},
                    {"content", content},
                    {"status", status}});
        break;
      case block_kind::speech:
        out.update({{"type", "message"},
                    {"role", "assistant"},
                    {"status", status},
                    {"content", content}});
        break;
      case block_kind::call:
        out.update({{"type", "function_call"},
                    {"call_id", call_id(i)},
                    {"name", x.name},
                    {"arguments", x.text},
                    {"status", status}});
        break;
    }
    return out;
  }

  const response_head head_;
  const response_keeper keep_;
  const uint64_t first_;
  uint64_t num_events_ = 0;
  std::vector<uint32_t> pieces_; ///< Bytes of each, for who keeps it.
};

/// What `x`, a response that was told, was told with.
response_head head_of(json x) {
  response_head out{x["id"], x["model"], x["created_at"]};
  for (const auto* own :
       {"id", "object", "created_at", "status", "background", "error",
        "incomplete_details", "model", "usage", "output"})
    x.erase(own);
  out.repeated = dump_text(x);
  return out;
}

usage usage_of(const json& x) {
  return {x["input_tokens"], x["output_tokens"],
          x["output_tokens_details"]["reasoning_tokens"],
          x["input_tokens_details"]["cached_tokens"]};
}

/// An item of the output becomes pieces of an answer again.
class item_pieces {
public:
  explicit item_pieces(const std::vector<uint32_t>& sizes) : sizes_(sizes) {
  }

  std::string tell(const json& item, answer_form& to) {
    std::string type = item["type"];
    if (type == "function_call") {
      tool_call_piece begin{num_calls_, true, item["name"]};
      auto out = to.piece({0, {{}, {}, {std::move(begin)}}});
      for (auto& x : cut(item["arguments"]))
        out += to.piece({0, {{}, {}, {{num_calls_, false, {}, x}}}});
      ++num_calls_;
      return out;
    }
    std::string out;
    for (auto& x : cut(item["content"][0]["text"]))
      out += type == "message" ? to.piece({0, {{}, x}})
                               : to.piece({0, {x, {}}});
    return out;
  }

private:
  std::vector<std::string> cut(const std::string& text) {
    std::vector<std::string> out;
    for (size_t at = 0; at < text.size(); at += out.back().size())
      out.push_back(
        text.substr(at, next_ < sizes_.size() ? sizes_[next_++] : text.npos));
    return out;
  }

  const std::vector<uint32_t>& sizes_;
  size_t next_ = 0;
  uint32_t num_calls_ = 0;
};

} // namespace

std::unique_ptr<answer_form> make_response_form(response_head head,
                                                response_keeper keep) {
  return std::make_unique<response_form>(std::move(head), std::move(keep));
}

std::string replay(const std::string& body, const std::vector<uint32_t>& pieces,
                   uint64_t first) {
  auto x = json::parse(body);
  response_form form{head_of(x), {}, first};
  auto used = usage_of(x["usage"]);
  auto out = form.begin(used);
  item_pieces items{pieces};
  for (const auto& item : x["output"])
    out += items.tell(item, form);
  auto why = x["status"] == "incomplete" ? finish_reason::length
                                         : finish_reason::stop;
  out += form.finish({}, {why});
  return out + form.last(used, false);
}

std::string render_deleted(const std::string& id) {
  return dump_text(json{{"id", id}, {"object", "response"}, {"deleted", true}});
}

} // namespace troupe::http
