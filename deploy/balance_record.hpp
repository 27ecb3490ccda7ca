#pragma once

/// `troupe balance record`: what the experts of a running company were asked,
/// as a file of loads.

#include "runtime/balance/load_table.hpp"

#include <CLI/CLI.hpp>

namespace troupe {

/// `before` and `after`: answers of /cluster/experts, one later than the other;
/// `before` may be empty. What lies between them. Error: invalid_input.
result<balance::load_table> loads_between(std::string_view before,
                                          std::string_view after);

/// A subcommand of `troupe balance`.
void add_balance_record(CLI::App& balance, int& status);

} // namespace troupe
