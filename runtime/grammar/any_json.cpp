#include "runtime/grammar/any_json.hpp"

#include "runtime/grammar/json_pieces.hpp"

#include <string>

namespace troupe {

any_json::any_json(grammar_rules& to)
  : space(to.add(json_space())), value(to.promise()),
    text(to.add(
      in_sequence({literal("\""), repeated(json_character(), 0, unlimited),
                   literal("\"")}))) {
  auto gap = call_of(space);
  auto each = [&](const char* open, const expression_ptr& one,
                  const char* close) {
    auto more = in_sequence({literal(","), gap, one});
    return choice_of(
      {literal(std::string{open} + close),
       in_sequence({literal(open), gap, one, repeated(more, 0, unlimited), gap,
                    literal(close)})});
  };
  auto member = in_sequence({call_of(text), literal(":"), gap, call_of(value)});
  object = to.add(each("{", member, "}"));
  array = to.add(each("[", call_of(value), "]"));
  number = to.add(json_number(true));
  to.rules[value] = choice_of({call_of(object), call_of(array), call_of(text),
                               call_of(number), literal("true"),
                               literal("false"), literal("null")});
}

} // namespace troupe
