#include "tests/fuzz/target.hpp"

#include "runtime/grammar/tool_grammar.hpp"
#include "tests/fuzz/grammar_walk.hpp"

namespace troupe::fuzz {

/// The first byte is the way of calling, the first line a function's name, the
/// rest its schema; or all of it is what another process has sent.
void tool_grammar(input x) {
  walk_grammar({grammar_kind::tools, std::string{x}});
  if (x.empty())
    return;
  auto ways = static_cast<unsigned char>(x[0]);
  auto end = std::min(x.find('\n'), x.size());
  tool_calls_source source;
  source.style = ways % 2 ? tool_style::fenced : tool_style::plain;
  source.is_begun = ways & 2;
  source.may_speak = ways & 4;
  source.may_call_more = ways & 8;
  called_function what{"f", std::string{x.substr(std::min(end + 1, x.size()))}};
  if (auto name = x.substr(1, end > 1 ? end - 1 : 0); is_utf8(name))
    what.name = name;
  if (!is_utf8(what.schema))
    return;
  source.functions = {what};
  walk_grammar({grammar_kind::tools, render(source)});
}

} // namespace troupe::fuzz
