#pragma once

/// What tools gave back, put where the chat form has it: behind the calls, in
/// their order.

#include "runtime/text/chat_message.hpp"

#include <optional>
#include <string>
#include <vector>

namespace troupe::http {

/// Sorts the outputs that follow a message with calls by those. Returns the id
/// of an output that is of none of them, or nothing.
std::optional<std::string> sort_tool_results(std::vector<chat_message>& all);

} // namespace troupe::http
