#pragma once

#include <CLI/CLI.hpp>

#include <string>

namespace troupe {

/// Adds --chat-template: which form chats are written in, whatever the model's
/// own template says. `value` outlives `command`; a name that does not exist
/// is refused with those that do.
void add_chat_template(CLI::App& command, std::string& value);

} // namespace troupe
