#include "runtime/grammar/tool_grammar.hpp"

#include "runtime/grammar/json_grammar.hpp"
#include "runtime/json/strict_json.hpp"
#include "runtime/text/tool_marks.hpp"

#include <nlohmann/json.hpp>

namespace troupe {

namespace {

using nlohmann::json;

failure damaged_calls() {
  return {errc::invalid_input, "a source of tool calls that makes no sense"};
}

result<tool_calls_source> parse(std::string_view source) {
  auto in = parse_json("the tool calls", source);
  if (!in)
    return in.why();
  tool_calls_source out;
  auto is = [&](const char* name) { return in->value(name, json()) == true; };
  if (!in->is_object())
    return damaged_calls();
  out.style = is("fenced") ? tool_style::fenced : tool_style::plain;
  out.is_begun = is("begun");
  out.may_speak = is("speak");
  out.may_call_more = is("more");
  auto list = in->value("functions", json());
  if (!list.is_array() || list.empty() || (out.is_begun && list.size() > 1))
    return damaged_calls();
  for (auto& x : list) {
    auto name = x.is_object() ? x.value("name", json()) : json();
    auto schema = x.is_object() ? x.value("schema", json()) : json();
    if (!name.is_string() || !schema.is_string())
      return damaged_calls();
    out.functions.push_back({name, schema});
  }
  return out;
}

/// The arguments and what ends a call.
result<expression_ptr> end_of_call(grammar_rules& to, const called_function& x,
                                   tool_style style) {
  auto arguments = x.schema.empty() ? result<uint32_t>{add_json_object(to)}
                                    : add_json_schema(to, x.schema);
  if (!arguments)
    return failure{errc::invalid_input, "the parameters of '" + x.name
                                          + "': " + arguments.why().message};
  return in_sequence({call_of(*arguments),
                      literal(style == tool_style::fenced ? "\n```" : ""),
                      mark_or_text(tool_call_end)});
}

expression_ptr begin_of_call(const std::string& name, tool_style style) {
  auto begin = mark_or_text(tool_call_begin);
  auto mark = mark_or_text(tool_call_sep);
  if (style == tool_style::fenced)
    return in_sequence({begin, literal("function"), mark, literal(name),
                        literal("\n```json\n")});
  return in_sequence({begin, literal(name), mark});
}

} // namespace

std::string render(const tool_calls_source& x) {
  json out{{"fenced", x.style == tool_style::fenced},
           {"begun", x.is_begun},
           {"speak", x.may_speak},
           {"more", x.may_call_more},
           {"functions", json::array()}};
  for (auto& [name, schema] : x.functions)
    out["functions"].push_back({{"name", name}, {"schema", schema}});
  return out.dump();
}

result<uint32_t> add_tool_calls(grammar_rules& to, std::string_view source) {
  auto x = parse(source);
  if (!x)
    return x.why();
  std::vector<expression_ptr> ways;
  for (auto& function : x->functions) {
    auto end = end_of_call(to, function, x->style);
    if (!end)
      return end.why();
    if (x->is_begun)
      return to.add(*end);
    ways.push_back(in_sequence({begin_of_call(function.name, x->style), *end}));
  }
  auto call = call_of(to.add(choice_of(std::move(ways))));
  auto gap = literal(x->style == tool_style::fenced ? "\n" : "");
  auto more = repeated(in_sequence({gap, call}), 0,
                       x->may_call_more ? unlimited : 0);
  auto calls = in_sequence({call, more, mark_or_text(tool_calls_end)});
  if (x->may_speak)
    return add_text_until(to, tool_calls_begin, calls, true);
  return to.add(in_sequence({mark_or_text(tool_calls_begin), calls}));
}

} // namespace troupe
