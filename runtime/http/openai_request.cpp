#include "runtime/http/openai_request.hpp"

#include "runtime/http/effort_request.hpp"
#include "runtime/http/grammar_request.hpp"
#include "runtime/http/request_body.hpp"
#include "runtime/http/tool_request.hpp"
#include "runtime/http/tool_results.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <limits>

namespace troupe::http {

namespace {

using nlohmann::json;

// -- messages -----------------------------------------------------------------

chat_tool_call read_tool_call(field_reader& in, const json& x,
                              const std::string& name) {
  const json none = json::object();
  const auto& function = x.is_object() && x.contains("function")
                             && x["function"].is_object()
                           ? x["function"]
                           : none;
  if (!function.contains("name") || !function.contains("arguments")) {
    in.refuse(name, "must be a function with a name and arguments");
    return {};
  }
  chat_tool_call call;
  if (x.contains("id"))
    call.id = in.text_at(x["id"], name + ".id");
  if (x.contains("type"))
    call.type = in.text_at(x["type"], name + ".type");
  call.name = in.text_at(function["name"], name + ".function.name");
  call.arguments = in.text_at(function["arguments"],
                              name + ".function.arguments");
  return call;
}

void read_tool_calls(field_reader& in, const json& x, size_t max,
                     chat_message& to) {
  const std::string name = "tool_calls";
  if (!x.is_array() || x.size() > max)
    return in.refuse(name, "must be a list of at most " + std::to_string(max)
                             + " calls");
  for (const auto& call : x)
    to.tool_calls.push_back(read_tool_call(in, call, name));
}

std::optional<chat_role> parse_role(const json& x) {
  if (x == "system" || x == "developer")
    return chat_role::system;
  if (x == "user")
    return chat_role::user;
  if (x == "assistant")
    return chat_role::assistant;
  if (x == "tool")
    return chat_role::tool;
  return std::nullopt;
}

chat_message read_message(field_reader& in, const json& role_name,
                          const request_limits& limits) {
  chat_message to;
  auto role = parse_role(role_name);
  if (!role)
    in.refuse("role",
              "must be one of system, developer, user, assistant, tool");
  to.role = role.value_or(chat_role::user);
  if (role == chat_role::assistant)
    to.reasoning = in.text_or("reasoning_content", "");
  if (role == chat_role::tool)
    to.call_id = in.text_or("tool_call_id", "");
  const auto* calls = in.find("tool_calls");
  if (calls && role == chat_role::assistant)
    read_tool_calls(in, *calls, limits.max_tool_calls, to);
  else if (calls)
    in.refuse("tool_calls", "only an assistant calls tools");
  if (in.has("content"))
    to.content = read_text_parts(in, "content", {"text"});
  else if (to.tool_calls.empty() && to.reasoning.empty())
    in.refuse("content", "must be a string or a list of text parts",
              field_fault::type);
  return to;
}

/// Whether every call and every output says which it is, and there are none but
/// outputs of calls; else they are in the order that they came in.
bool are_named(const std::vector<chat_message>& all) {
  auto has_id = [](auto& call) { return !call.id.empty(); };
  auto were_calls = false;
  for (const auto& x : all) {
    if (x.role != chat_role::tool)
      were_calls = !x.tool_calls.empty();
    else if (!were_calls || x.call_id.empty())
      return false;
    if (!std::ranges::all_of(x.tool_calls, has_id))
      return false;
  }
  return true;
}

/// DeepSeek's way to say that the last message goes on.
bool read_prefix(field_reader& in, bool is_last) {
  bool is_prefix = in.boolean_or("prefix", false);
  if (is_prefix && !is_last)
    in.refuse("prefix", "only the last message can go on");
  return is_prefix;
}

std::vector<chat_message>
read_messages(field_reader& in, const request_limits& limits, bool& go_on) {
  const auto* list = in.find("messages");
  if (!list) {
    in.refuse("messages", "are needed", field_fault::missing);
    return {};
  }
  if (!list->is_array() || list->empty()
      || list->size() > limits.max_messages) {
    in.refuse("messages", "must be a list of 1 to "
                            + std::to_string(limits.max_messages)
                            + " messages");
    return {};
  }
  std::vector<chat_message> all;
  for (const auto& x : *list) {
    auto name = "messages[" + std::to_string(all.size()) + "]";
    if (!x.is_object()) {
      in.refuse(name, "must be an object", field_fault::type);
      return {};
    }
    auto message = in.within(x, name);
    bool is_last = all.size() + 1 == list->size();
    all.push_back(read_message(message, x.value("role", json()), limits));
    go_on = read_prefix(message, is_last);
    in.absorb(message);
  }
  if (auto id = are_named(all) ? sort_tool_results(all) : std::nullopt)
    in.refuse("messages", "the output of '" + id->substr(0, 256)
                            + "' follows no call of this id");
  return all;
}

/// What a request says about the chat template: variables that turn thought on
/// and off. Whether the model's template has them is for its form to say.
void read_template_fields(field_reader& in, chat_request& to) {
  to.go_on = in.boolean_or("continue_final_message", false) || to.go_on;
  to.add_generation_prompt = in.boolean_or("add_generation_prompt", !to.go_on);
  if (to.go_on && to.add_generation_prompt)
    in.refuse("add_generation_prompt",
              "must not be true where the last message goes on");
  if (auto thinking = in.object("thinking")) {
    auto type = thinking->text("type");
    if (type != "enabled" && type != "disabled")
      thinking->refuse("type", "must be enabled or disabled");
    to.thinking = type == "enabled";
    in.absorb(*thinking);
  }
  if (in.has("reasoning_effort"))
    read_effort(in, "reasoning_effort", to);
  read_verbosity(in);
  const auto* x = in.find("chat_template_kwargs");
  if (!x)
    return;
  if (!x->is_object())
    return in.refuse("chat_template_kwargs", "must be an object",
                     field_fault::type);
  for (const auto& [key, value] : x->items()) {
    auto name = "chat_template_kwargs." + key.substr(0, 256);
    if (key != "thinking" && key != "enable_thinking")
      return in.refuse(name, "there is no such variable",
                       field_fault::unsupported);
    if (!value.is_boolean())
      return in.refuse(name, "must be true or false", field_fault::type);
    to.switches.emplace_back(key, value.get<bool>());
    if (to.switches.front().second != to.switches.back().second)
      in.refuse("chat_template_kwargs", "its variables contradict each other");
  }
}

// -- prompts ------------------------------------------------------------------

std::vector<int32_t> read_ids(field_reader& in, const json& list) {
  std::vector<int32_t> ids;
  for (const auto& id : list) {
    if (!id.is_number_unsigned()
        || id.get<uint64_t>() > std::numeric_limits<int32_t>::max()) {
      in.refuse("prompt", "must be a string, a list of token ids, or a list of "
                          "either");
      return {};
    }
    ids.push_back(id.get<int32_t>());
  }
  return ids;
}

text_prompt read_one_prompt(field_reader& in, const json& x) {
  text_prompt to;
  if (x.is_array())
    to.ids = read_ids(in, x);
  else
    to.text = in.text_at(x, "prompt");
  if (to.ids.empty() && to.text.empty())
    in.refuse("prompt", "must not be empty");
  return to;
}

/// A string, a list of ids, or a list of such.
void read_prompts(field_reader& in, const request_limits& limits,
                  text_request& to) {
  const auto* x = in.find("prompt");
  if (!x)
    return in.refuse("prompt", "is needed", field_fault::missing);
  bool are_many = x->is_array() && !x->empty() && !x->front().is_number();
  auto count = are_many ? x->size() : 1;
  if (count * to.options.num_answers > limits.max_answers)
    return in.refuse("prompt", "there are more than "
                                 + std::to_string(limits.max_answers)
                                 + " answers to give");
  if (!are_many)
    return to.prompts.push_back(read_one_prompt(in, *x));
  for (const auto& one : *x)
    to.prompts.push_back(read_one_prompt(in, one));
}

} // namespace

parsed<chat_request> parse_chat_request(std::string_view body,
                                        const sampling_defaults& defaults,
                                        const request_limits& limits) {
  auto in = read_body(body, limits);
  if (!in)
    return bad_parameter("", in.why().message, "invalid_json");
  chat_request to;
  to.options = read_options(*in, completion_kind::chat, defaults, limits);
  read_grammar(*in, body, completion_kind::chat, limits, to.options);
  to.messages = read_messages(*in, limits, to.go_on);
  read_template_fields(*in, to);
  read_tools(*in, body, completion_kind::chat, limits, to);
  if (in->first_trouble())
    return in_openai_words(*in->first_trouble());
  return to;
}

parsed<text_request> parse_text_request(std::string_view body,
                                        const sampling_defaults& defaults,
                                        const request_limits& limits) {
  auto in = read_body(body, limits);
  if (!in)
    return bad_parameter("", in.why().message, "invalid_json");
  text_request to;
  to.options = read_options(*in, completion_kind::text, defaults, limits);
  read_grammar(*in, body, completion_kind::text, limits, to.options);
  to.add_bos = in->boolean_or("add_special_tokens", true);
  read_prompts(*in, limits, to);
  if (in->first_trouble())
    return in_openai_words(*in->first_trouble());
  return to;
}

} // namespace troupe::http
