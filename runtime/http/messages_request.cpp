#include "runtime/http/messages_request.hpp"

#include "runtime/http/grammar_request.hpp"
#include "runtime/http/request_body.hpp"
#include "runtime/http/tool_request.hpp"
#include "runtime/http/tool_results.hpp"
#include "runtime/json/field_reader.hpp"
#include "runtime/json/spaced_json.hpp"
#include "runtime/json/strict_json.hpp"

#include <nlohmann/json.hpp>

#include <limits>

namespace troupe::http {

namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr auto max_budget = std::numeric_limits<int32_t>::max();

/// Messages of blocks as those that the chat form has: outputs of tools stand
/// in messages of their own.
class messages_conversation {
public:
  messages_conversation(std::string_view body, const request_limits& limits)
    : body_(body), limits_(limits) {
  }

  void read(field_reader& in, chat_request& to) {
    if (auto text = read_text_parts(in, "system", {"text"}); !text.empty())
      all_.push_back({chat_role::system, std::move(text), {}});
    auto list = in.objects("messages", limits_.max_messages);
    if (list.empty())
      return in.refuse("messages", "must be a list of 1 to "
                                     + std::to_string(limits_.max_messages)
                                     + " messages");
    for (auto& x : list) {
      read_message(x);
      ++index_;
      in.absorb(x);
    }
    to.go_on = all_.back().role == chat_role::assistant;
    to.add_generation_prompt = !to.go_on;
    if (auto id = sort_tool_results(all_))
      in.refuse("messages", "the tool_result of '" + id->substr(0, 256)
                              + "' follows no tool_use of this id");
    to.messages = std::move(all_);
  }

private:
  void read_message(field_reader& in) {
    auto role = in.text("role");
    if (role != "user" && role != "assistant")
      in.refuse("role", "must be user or assistant");
    chat_message to;
    to.role = role == "user" ? chat_role::user : chat_role::assistant;
    const auto* content = in.find("content");
    if (!content) {
      in.refuse("content", "is needed", field_fault::missing);
    } else if (content->is_array()) {
      auto blocks = in.objects("content", limits_.max_values);
      for (size_t i = 0; i < blocks.size(); ++i) {
        read_block(blocks[i], i, to);
        in.absorb(blocks[i]);
      }
    } else {
      to.content = in.text("content");
    }
    // A message of nothing but outputs says nothing itself.
    bool has_outputs = !all_.empty() && all_.back().role == chat_role::tool;
    if (to.role == chat_role::assistant || !to.content.empty() || !has_outputs)
      all_.push_back(std::move(to));
  }

  void read_block(field_reader& in, size_t index, chat_message& to) {
    auto type = in.text("type");
    bool is_user = to.role == chat_role::user;
    if (type == "text")
      to.content += in.text("text");
    else if (type == "tool_result" && is_user)
      read_output(in);
    else if (type == "tool_use" && !is_user)
      read_call(in, index, to);
    else if (type == "thinking" && !is_user)
      to.reasoning += in.text("thinking");
    else if (type != "redacted_thinking" || is_user)
      in.refuse("type",
                is_user ? "must be text or tool_result"
                        : "must be text, thinking or tool_use",
                field_fault::unsupported);
  }

  void read_output(field_reader& in) {
    chat_message out;
    out.role = chat_role::tool;
    out.call_id = in.text("tool_use_id");
    out.content = read_text_parts(in, "content", {"text"});
    if (in.boolean_or("is_error", false)) // the form has no place for it
      out.content = "Error: " + out.content;
    all_.push_back(std::move(out));
  }

  void read_call(field_reader& in, size_t index, chat_message& to) {
    chat_tool_call call;
    call.id = in.text("id");
    call.name = in.text("name");
    if (!in.has_object("input"))
      in.refuse("input", "must be an object", field_fault::type);
    if (to.tool_calls.size() == limits_.max_tool_calls)
      in.refuse("type", "there are more than "
                          + std::to_string(limits_.max_tool_calls)
                          + " calls in a message");
    if (in.first_trouble())
      return;
    auto& sent = as_sent()["messages"][index_]["content"][index]["input"];
    call.arguments = spaced_json(sent);
    to.tool_calls.push_back(std::move(call));
  }

  /// Members in their order.
  ordered_json& as_sent() {
    if (as_sent_.is_null())
      as_sent_ = parse_in_order(body_);
    return as_sent_;
  }

  std::string_view body_;
  const request_limits& limits_;
  std::vector<chat_message> all_;
  size_t index_ = 0; ///< Of the message that is read.
  ordered_json as_sent_;
};

/// Thought is told only to who asks for it: others have the model told not to
/// think, where the template has a say in it, and hear nothing of what it
/// thinks nevertheless. A budget is what it may take at most: max_tokens bounds
/// it.
void read_thinking(field_reader& in, chat_request& to) {
  to.rather_thinking = to.options.tell_thought = false;
  auto thinking = in.object("thinking");
  if (!thinking)
    return;
  auto type = thinking->text("type");
  if (type != "enabled" && type != "disabled" && type != "adaptive")
    thinking->refuse("type", "must be enabled, disabled or adaptive");
  thinking->whole("budget_tokens", 1, max_budget);
  to.rather_thinking = to.options.tell_thought = type != "disabled";
  in.absorb(*thinking);
}

} // namespace

parsed<chat_request> parse_messages_request(std::string_view body,
                                            bool counting,
                                            const sampling_defaults& defaults,
                                            const request_limits& limits) {
  constexpr auto kind = completion_kind::messages;
  auto in = read_body(body, limits);
  if (!in)
    return bad_parameter("", in.why().message, "invalid_json");
  chat_request to;
  to.json_arguments = true;
  to.options = read_options(*in, kind, defaults, limits);
  if (!counting && !in->has("max_tokens"))
    in->refuse("max_tokens", "is needed", field_fault::missing);
  read_grammar(*in, body, kind, limits, to.options);
  messages_conversation{body, limits}.read(*in, to);
  read_thinking(*in, to);
  read_tools(*in, body, kind, limits, to);
  if (in->first_trouble())
    return in_openai_words(*in->first_trouble());
  return to;
}

} // namespace troupe::http
