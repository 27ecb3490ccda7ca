#pragma once

/// Calls of functions as DeepSeek's families write them, with arguments by the
/// functions' schemas.

#include "runtime/error.hpp"
#include "runtime/grammar/expression.hpp"
#include "runtime/text/chat_shape.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace troupe {

struct called_function {
  std::string name;
  std::string schema; ///< Of its arguments; empty: any object.
};

struct tool_calls_source {
  tool_style style = tool_style::fenced;
  bool is_begun = false;      ///< The answer begins with the arguments.
  bool may_speak = false;     ///< First it may say anything, or that alone.
  bool may_call_more = false; ///< Several calls, one after the other.
  std::vector<called_function> functions; ///< Of one that is begun: it alone.
};

/// As the text of a grammar_source.
std::string render(const tool_calls_source& x);

/// Adds its rules and returns the first. Error: invalid_input; of a schema,
/// with the function's name.
result<uint32_t> add_tool_calls(grammar_rules& to, std::string_view source);

} // namespace troupe
