#pragma once

/// What a request says about tools: `tools`, `tool_choice` and
/// `parallel_tool_calls`, or how else its kind says that.

#include "runtime/http/openai_request.hpp"

namespace troupe::http {

/// `body` is what `in` reads: tools are shown to the model in the order in
/// which it has their members.
void read_tools(field_reader& in, std::string_view body, completion_kind kind,
                const request_limits& limits, chat_request& to);

/// What the answer has to be for the sake of its tools, by how the model writes
/// calls: of strict ones the arguments are by their schemas, and where one has
/// to be called there is a call. Else, of kind none.
parsed<grammar_source> grammar_of_tools(const chat_request& asked,
                                        tool_style style,
                                        known_grammars& known);

} // namespace troupe::http
