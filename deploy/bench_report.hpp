#pragma once

/// A finished `troupe bench model` as a table for people and as JSON.

#include "deploy/bench_model.hpp"
#include "deploy/bench_stages.hpp"

namespace troupe {

std::string bench_table(const bench_report& x);

/// One object, described in README.md.
std::string bench_json(const bench_report& x);

/// Of `troupe bench machine`.
std::string machine_line(const kernels::machine_rates& x);
/// `stages` may be null.
std::string machine_json(const kernels::machine_rates& x, uint32_t num_threads,
                         const stages_report* stages);

/// What stages take.
std::string stages_table(const stages_report& x);

} // namespace troupe
