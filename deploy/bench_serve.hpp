#pragma once

/// `troupe bench serve`: how fast an OpenAI endpoint answers under a load.

#include <CLI/CLI.hpp>

namespace troupe {

void add_bench_serve(CLI::App& bench, int& status);

} // namespace troupe
