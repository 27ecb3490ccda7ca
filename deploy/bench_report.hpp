#pragma once

/// A finished `troupe bench model` as a table for people and as JSON.

#include "deploy/bench_model.hpp"

namespace troupe {

std::string bench_table(const bench_report& x);

/// One object, described in README.md.
std::string bench_json(const bench_report& x);

/// Of `troupe bench machine`.
std::string machine_line(const kernels::machine_rates& x);
std::string machine_json(const kernels::machine_rates& x, uint32_t num_threads);

} // namespace troupe
