#pragma once

/// How much a process tells its operator, and in which form.

#include "runtime/log.hpp"

#include <CLI/CLI.hpp>

#include <string>

namespace troupe {

/// --log-level and --log-format.
void add_log_flags(CLI::App& command, std::string& level, std::string& format);

/// What these flags say.
std::shared_ptr<log_book> make_log(const std::string& level,
                                   const std::string& format);

} // namespace troupe
