#pragma once

/// What `troupe bench model` measures: prompts and steady decoding, through
/// the actors, in one process or in several, and through the plain path, beside
/// what the machine gives in the same minute. Rounds go over all cases, each
/// preceded by a probe of the memory, so that a busy neighbour disturbs all
/// alike. Companies that are compared are all there for the whole time and take
/// turns in each case; first comes a round that does not count, in which those
/// who learn have learned.

#include "deploy/bench_cases.hpp"
#include "deploy/bench_runs.hpp"
#include "kernels/cpu/probe.hpp"

#include <optional>
#include <string>
#include <vector>

namespace troupe {

/// What it took until the actors were ready.
struct bench_load {
  double seconds = 0;
  uint64_t bytes = 0;      ///< Of the checkpoint's tensors.
  uint64_t peak_bytes = 0; ///< Most memory that loading added, file pages too.
};

struct bench_report {
  bench_options options;
  std::string target; ///< Of the device, e.g. "cpu/avx512-bf16".
  uint32_t num_moe_layers = 0;
  topology cluster; ///< Of the first company.
  std::vector<bench_company> companies;
  kernels::machine_rates machine; ///< Medians, of what is used.
  bench_load load; ///< Of all companies; memory: of this process.
  std::vector<bench_case> cases;
};

/// Probes the machine alone.
kernels::machine_rates probe_machine(uint32_t num_threads, const clock& time);

/// Measures all cases; says on standard error how far it is. Errors: what
/// loading and running may say; context_too_long if the model has no room for
/// a case; invalid_input if flags do not fit together.
result<bench_report> bench_model(const bench_options& options,
                                 const clock& time);

} // namespace troupe
