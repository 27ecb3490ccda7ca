#pragma once

/// The subcommands of `troupe`, one file each. Each function adds its own to
/// `app`; when it is chosen, it runs inside the parse and sets `status`, the
/// exit status: 0 all well, 1 failed (one sentence on standard error), 2 wrong
/// usage.

#include <CLI/CLI.hpp>

namespace troupe {

void add_serve(CLI::App& app, int& status);
void add_generate(CLI::App& app, int& status);
void add_node(CLI::App& app, int& status);
void add_tokenize(CLI::App& app, int& status);
void add_model(CLI::App& app, int& status);
void add_simulate(CLI::App& app, int& status);
void add_bench(CLI::App& app, int& status);
void add_trace(CLI::App& app, int& status);
void add_picture(CLI::App& app, int& status);
void add_top(CLI::App& app, int& status);
void add_balance(CLI::App& app, int& status);

} // namespace troupe
