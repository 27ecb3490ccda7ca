#pragma once

/// Where flags come from that do not stand on the command line: the
/// environment, then a file.

#include <CLI/CLI.hpp>

#include <string>
#include <vector>

namespace troupe {

/// Lets `command` have its flags from the environment and from --config.
void add_flag_sources(CLI::App& command);

/// `args`, whose first is the program and whose second is a subcommand of
/// `app`, with the flags that are not among them but in a source. Throws
/// CLI::ParseError where a file cannot be used, as parsing does.
std::vector<std::string> with_flag_sources(const CLI::App& app,
                                           std::vector<std::string> args);

/// Numbers as people write them: 32k is 32000 and 32K is 32768, likewise m
/// and M.
CLI::Validator with_suffix();

} // namespace troupe
