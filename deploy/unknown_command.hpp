#pragma once

/// What is said to who asks for a command that there is not.

#include <CLI/CLI.hpp>

#include <optional>
#include <string>
#include <vector>

namespace troupe {

/// The sentence to say if `args`, whose first is the program, name a command
/// that `app`, or a command of it that has others below, does not have.
std::optional<std::string>
unknown_command(const CLI::App& app, const std::vector<std::string>& args);

/// The one of `words` that differs least from `text`, by letters that are put
/// in, left out or changed; of several the first. There is one.
std::string nearest_word(const std::string& text,
                         const std::vector<std::string>& words);

} // namespace troupe
