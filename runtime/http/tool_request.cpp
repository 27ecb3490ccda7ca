#include "runtime/http/tool_request.hpp"

#include "runtime/grammar/tool_grammar.hpp"
#include "runtime/json/spaced_json.hpp"
#include "runtime/json/strict_json.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace troupe::http {

namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr size_t max_name = 64;

constexpr const char* name_rule
  = "must have from 1 to 64 letters, digits, and the signs _, - and .";

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
    function->refuse("name", name_rule);
  to.description = function->text_or("description", "");
  to.is_strict = function->boolean_or("strict", false);
  if (function->has("parameters") && !function->has_object("parameters"))
    function->refuse("parameters", "must be an object", field_fault::type);
  in.absorb(*function);
  if (!in.first_trouble()) {
    to.parameters = spaced_json(
      as_sent["function"].value("parameters", ordered_json::object()));
    to.whole = spaced_json(as_sent);
  }
  return to;
}

/// One whose members stand beside its type. The model is told of it in the form
/// that it knows.
chat_tool read_flat_tool(field_reader& in, completion_kind kind,
                         const ordered_json& as_sent) {
  chat_tool to;
  bool is_messages = kind == completion_kind::messages;
  const auto* usual = is_messages ? "custom" : "function";
  const auto* schema = is_messages ? "input_schema" : "parameters";
  if (in.text_or("type", is_messages ? usual : "") != usual)
    in.refuse("type",
              std::string{"only tools of the type '"} + usual
                + "' are supported",
              field_fault::unsupported);
  to.name = in.text("name");
  if (!is_name(to.name))
    in.refuse("name", name_rule);
  to.description = in.text_or("description", "");
  to.is_strict = in.boolean_or("strict", false);
  if (in.has(schema) && !in.has_object(schema))
    in.refuse(schema, "must be an object", field_fault::type);
  if (in.first_trouble())
    return to;
  auto parameters = in.has(schema) ? as_sent[schema] : ordered_json::object();
  ordered_json function = {{"name", to.name}};
  if (!to.description.empty())
    function["description"] = to.description;
  function["parameters"] = parameters;
  to.parameters = spaced_json(parameters);
  to.whole = spaced_json({{"type", "function"}, {"function", function}});
  return to;
}

std::vector<chat_tool> read_list(field_reader& in, std::string_view body,
                                 completion_kind kind,
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
  auto as_sent = std::move(parse_in_order(body)["tools"]);
  for (const auto& x : *list) {
    auto name = "tools[" + std::to_string(out.size()) + "]";
    if (!x.is_object()) {
      in.refuse(name, "must be an object", field_fault::type);
      return out;
    }
    auto tool = in.within(x, name);
    const auto& sent = as_sent[out.size()];
    out.push_back(kind == completion_kind::chat
                    ? read_tool(tool, sent)
                    : read_flat_tool(tool, kind, sent));
    in.absorb(tool);
  }
  return out;
}

/// The name of the function that has to be called; or empty.
std::string read_named(field_reader& in, completion_kind kind,
                       const json& choice) {
  auto named = in.within(choice, "tool_choice");
  std::string name;
  if (named.text("type") == "function") {
    auto function = named.object("function");
    if (kind == completion_kind::response)
      name = named.text("name");
    else if (function)
      name = function->text("name");
  }
  if (name.empty())
    in.refuse("tool_choice", "must name a function");
  return name;
}

/// One of the tools has to be called: that of `name`, or any if it is empty.
void must_call(field_reader& in, std::string name, chat_request& to) {
  if (to.tools.empty())
    return in.refuse("tool_choice", "there are no tools to choose from");
  to.must_call = true;
  if (name.empty() && to.tools.size() > 1)
    return;
  to.forced_call = name.empty() ? to.tools.front().name : std::move(name);
  auto is_it = [&](auto& tool) { return tool.name == to.forced_call; };
  if (std::ranges::none_of(to.tools, is_it))
    in.refuse("tool_choice", "there is no such tool");
}

void read_choice(field_reader& in, completion_kind kind, chat_request& to) {
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
  must_call(in, x->is_object() ? read_named(in, kind, *x) : "", to);
}

/// Of messages, whose choice is always an object. Returns whether there may be
/// several calls.
bool read_choice_of_messages(field_reader& in, chat_request& to) {
  auto choice = in.object("tool_choice");
  if (!choice)
    return true;
  auto type = choice->text("type");
  auto one = choice->boolean_or("disable_parallel_tool_use", false);
  auto name = type == "tool" ? choice->text("name") : std::string{};
  if (type != "auto" && type != "any" && type != "tool" && type != "none")
    choice->refuse("type", "must be auto, any, tool or none");
  in.absorb(*choice);
  if (in.first_trouble())
    return true;
  if (type == "none")
    to.tools.clear();
  else if (type != "auto")
    must_call(in, std::move(name), to);
  return !one;
}

/// Whether `schema` says that it is one of objects, and can be kept to.
bool is_readable(const std::string& schema, known_grammars& known) {
  auto x = json::parse(schema);
  bool is_object = x.contains("type") ? x["type"] == "object"
                                      : x.contains("properties");
  return is_object && !known.trouble({grammar_kind::json_schema, schema});
}

/// What the arguments of a call have to be; empty: any object. `all_bound`:
/// not those alone that are strict, as far as their schemas can be read.
std::string arguments_of(const chat_tool& tool, const chat_request& asked,
                         bool all_bound, known_grammars& known) {
  if (tool.parameters != "{}"
      && (tool.is_strict || (all_bound && is_readable(tool.parameters, known))))
    return tool.parameters;
  return asked.json_arguments ? R"({"type":"object"})" : "";
}

tool_calls_source calls_of(const chat_request& asked, tool_style style,
                           bool all_bound, known_grammars& known) {
  auto is_forced = !asked.forced_call.empty();
  tool_calls_source out{
    style, is_forced, !asked.must_call, !asked.options.one_call, {}};
  for (auto& x : asked.tools)
    if (!is_forced || x.name == asked.forced_call)
      out.functions.push_back(
        {x.name, arguments_of(x, asked, all_bound, known)});
  return out;
}

/// Whether a model that may say what it likes may write what it likes.
bool is_free(const chat_request& asked, const tool_calls_source& calls) {
  auto is_strict = [](auto& tool) { return tool.is_strict; };
  auto has_schema = [](auto& x) { return !x.schema.empty(); };
  return !asked.must_call && std::ranges::none_of(calls.functions, has_schema)
         && std::ranges::none_of(asked.tools, is_strict);
}

} // namespace

parsed<grammar_source> grammar_of_tools(const chat_request& asked,
                                        tool_style style,
                                        known_grammars& known) {
  auto calls = calls_of(asked, style, asked.must_call, known);
  // Where there has to be a call there is no text to be of some form.
  auto is_of_text = asked.options.grammar.kind != grammar_kind::none
                    && !asked.must_call;
  if (asked.tools.empty() || (is_free(asked, calls) && !is_of_text))
    return grammar_source{};
  if (is_of_text)
    return bad_parameter("tools",
                         "Invalid value for 'tools': what the text has to be "
                         "cannot be said where tools may be called.",
                         "unsupported_parameter");
  grammar_source out{grammar_kind::tools, render(calls)};
  auto trouble = known.trouble(out);
  // What nobody has asked for is no reason to refuse.
  if (asked.must_call && (trouble || out.text.size() > max_grammar_source)) {
    out.text = render(calls_of(asked, style, false, known));
    trouble = known.trouble(out);
  }
  if (trouble)
    return bad_parameter("tools",
                         "Invalid value for 'tools': " + *trouble + ".");
  return out;
}

void read_tools(field_reader& in, std::string_view body, completion_kind kind,
                const request_limits& limits, chat_request& to) {
  to.tools = read_list(in, body, kind, limits);
  bool many = true;
  if (kind == completion_kind::messages) {
    many = read_choice_of_messages(in, to);
  } else {
    read_choice(in, kind, to);
    many = in.boolean_or("parallel_tool_calls", true);
  }
  to.options.one_call = !many || !to.forced_call.empty();
}

} // namespace troupe::http
