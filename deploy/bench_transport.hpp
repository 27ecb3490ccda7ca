#pragma once

/// `troupe bench transport`: dispatch and combine between processes of this
/// machine, over Troupe's transport and over UCX alone, in one run.

#include <CLI/CLI.hpp>

namespace troupe {

void add_bench_transport(CLI::App& bench, int& status);

} // namespace troupe
