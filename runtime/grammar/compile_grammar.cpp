#include "runtime/grammar/compile_grammar.hpp"

#include "runtime/grammar/gbnf_reader.hpp"
#include "runtime/grammar/json_grammar.hpp"
#include "runtime/grammar/matcher.hpp"
#include "runtime/grammar/regex_reader.hpp"
#include "runtime/grammar/tool_grammar.hpp"
#include "runtime/json/strict_json.hpp"

#include <nlohmann/json.hpp>

namespace troupe {

namespace {

constexpr std::string_view end_of_thought = "</think>";

failure invalid(std::string why) {
  return {errc::invalid_input, std::move(why)};
}

result<uint32_t> add_choice(grammar_rules& to, std::string_view source) {
  auto list = parse_json("the choices", source);
  if (!list)
    return list.why();
  std::vector<expression_ptr> ways;
  if (!list->is_array() || list->empty())
    return invalid("it must be a list of strings that is not empty");
  for (auto& x : *list) {
    if (!x.is_string() || x.get_ref<const std::string&>().empty())
      return invalid("it must be a list of strings that are not empty");
    ways.push_back(literal(x.get_ref<const std::string&>()));
  }
  return to.add(choice_of(std::move(ways)));
}

result<uint32_t> add_regex(grammar_rules& to, std::string_view source) {
  auto all = read_regex(source, regex_scope::whole, in_utf8);
  if (!all)
    return all.why();
  return to.add(*all);
}

result<uint32_t> add(grammar_rules& to, const grammar_source& x) {
  switch (x.kind) {
    case grammar_kind::none:
      break;
    case grammar_kind::json_object:
      return add_json_object(to);
    case grammar_kind::json_schema:
      return add_json_schema(to, x.text);
    case grammar_kind::regex:
      return add_regex(to, x.text);
    case grammar_kind::choice:
      return add_choice(to, x.text);
    case grammar_kind::gbnf:
      return add_gbnf(to, x.text);
    case grammar_kind::tools:
      return add_tool_calls(to, x.text);
  }
  return invalid("there is no such kind of grammar");
}

} // namespace

result<std::shared_ptr<const grammar_program>>
compile_grammar(const grammar_source& x) {
  if (x.text.size() > max_grammar_source)
    return invalid("it has more than " + std::to_string(max_grammar_source)
                   + " bytes");
  grammar_rules rules;
  auto start = add(rules, x);
  if (!start)
    return start.why();
  rules.start = *start;
  if (x.after_thought)
    rules.start = add_text_until(rules, end_of_thought, call_of(*start), false);
  auto made = make_program(rules);
  if (!made)
    return made.why();
  auto out = std::make_shared<const grammar_program>(std::move(*made));
  grammar_matcher first{out};
  auto begin = first.state_of(first.begin());
  if (begin.empty())
    return invalid("it begins in too many ways");
  if (begin == grammar_state{0})
    return invalid("nothing but the empty text fulfils it");
  return out;
}

} // namespace troupe
