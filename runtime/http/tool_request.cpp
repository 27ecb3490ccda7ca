#include "runtime/http/tool_request.hpp"

#include "runtime/grammar/compile_grammar.hpp"
#include "runtime/grammar/tool_grammar.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace troupe::http {

namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr size_t max_name = 64;

/// As Python's json.dumps spaces it, which is how models have seen tools.
std::string spaced(const ordered_json& x) {
  if (!x.is_structured())
    return x.dump(-1, ' ', false, json::error_handler_t::replace);
  bool is_object = x.is_object();
  std::string out;
  for (const auto& [key, value] : x.items()) {
    out += out.empty() ? "" : ", ";
    if (is_object)
      out += ordered_json(key).dump() + ": ";
    out += spaced(value);
  }
  return is_object ? "{" + out + "}" : "[" + out + "]";
}

bool is_name(const std::string& x) {
  auto fits = [](unsigned char c) {
    return std::isalnum(c) || c == '_' || c == '-' || c == '.';
  };
  return !x.empty() && x.size() <= max_name && std::ranges::all_of(x, fits);
}

/// A function in the order that the body has. What is wrong with it is told by
/// `in`, the tool.
chat_tool read_tool(field_reader& in, const ordered_json& as_sent) {
  chat_tool to;
  if (in.text("type") != "function")
    in.refuse("type", "must be function");
  auto function = in.object("function");
  if (!function) {
    in.refuse("function", "is needed", field_fault::missing);
    return to;
  }
  to.name = function->text("name");
  if (!is_name(to.name))
    function->refuse("name", "must have from 1 to 64 letters, digits, and the "
                             "signs _, - and .");
  to.description = function->text_or("description", "");
  to.is_strict = function->boolean_or("strict", false);
  if (function->has("parameters") && !function->has_object("parameters"))
    function->refuse("parameters", "must be an object", field_fault::type);
  in.absorb(*function);
  if (!in.first_trouble()) {
    to.parameters
      = spaced(as_sent["function"].value("parameters", ordered_json::object()));
    to.whole = spaced(as_sent);
  }
  return to;
}

std::vector<chat_tool> read_list(field_reader& in, std::string_view body,
                                 const request_limits& limits) {
  std::vector<chat_tool> out;
  const auto* list = in.find("tools");
  if (!list)
    return out;
  if (!list->is_array() || list->size() > limits.max_tools) {
    in.refuse("tools", "must be a list of at most "
                         + std::to_string(limits.max_tools) + " functions");
    return out;
  }
  auto as_sent = ordered_json::parse(body)["tools"];
  for (const auto& x : *list) {
    auto name = "tools[" + std::to_string(out.size()) + "]";
    if (!x.is_object()) {
      in.refuse(name, "must be an object", field_fault::type);
      return out;
    }
    auto tool = in.within(x, name);
    out.push_back(read_tool(tool, as_sent[out.size()]));
    in.absorb(tool);
  }
  return out;
}

/// The name of the function that has to be called; or empty.
std::string read_named(field_reader& in, const json& choice) {
  auto named = in.within(choice, "tool_choice");
  auto function = named.object("function");
  auto name = named.text("type") == "function" && function
                ? function->text("name")
                : std::string{};
  if (name.empty())
    in.refuse("tool_choice", "must name a function");
  return name;
}

void read_choice(field_reader& in, chat_request& to) {
  const auto* x = in.find("tool_choice");
  if (!x || *x == "auto")
    return;
  if (*x == "none")
    return to.tools.clear();
  if (!x->is_object() && *x != "required")
    return in.refuse("tool_choice",
                     "must be none, auto, required or name a function");
  if (to.tools.empty())
    return in.refuse("tool_choice", "there are no tools to choose from");
  to.must_call = true;
  if (*x == "required" && to.tools.size() > 1)
    return;
  to.forced_call = x->is_object() ? read_named(in, *x) : to.tools.front().name;
  auto is_it = [&](auto& tool) { return tool.name == to.forced_call; };
  if (std::ranges::none_of(to.tools, is_it))
    in.refuse("tool_choice", "there is no such tool");
}

} // namespace

parsed<grammar_source> grammar_of_tools(const chat_request& asked,
                                        tool_style style) {
  auto is_strict = [](auto& tool) { return tool.is_strict; };
  auto is_forced = !asked.forced_call.empty();
  tool_calls_source calls{
    style, is_forced, !asked.must_call, !asked.options.one_call, {}};
  for (auto& x : asked.tools)
    if (!is_forced || x.name == asked.forced_call)
      calls.functions.push_back(
        {x.name, x.is_strict && x.parameters != "{}" ? x.parameters : ""});
  auto& tools = asked.tools;
  auto strict = is_forced ? !calls.functions.front().schema.empty()
                          : std::ranges::any_of(tools, is_strict);
  auto is_free = !strict && (is_forced || !asked.must_call);
  if (tools.empty()
      || (is_free && asked.options.grammar.kind == grammar_kind::none))
    return grammar_source{};
  if (asked.options.grammar.kind != grammar_kind::none)
    return bad_parameter("tools",
                         "Invalid value for 'tools': what the text has to be "
                         "cannot be said where tools may be called.",
                         "unsupported_parameter");
  grammar_source out{grammar_kind::tools, render(calls)};
  if (auto program = compile_grammar(out); !program)
    return bad_parameter(
      "tools", "Invalid value for 'tools': " + program.why().message + ".");
  return out;
}

void read_tools(field_reader& in, std::string_view body,
                const request_limits& limits, chat_request& to) {
  to.tools = read_list(in, body, limits);
  read_choice(in, to);
  bool many = in.boolean_or("parallel_tool_calls", true);
  to.options.one_call = !many || !to.forced_call.empty();
}

} // namespace troupe::http
