#pragma once

/// A finished `troupe bench serve` as a table for people and as JSON.

#include "runtime/bench/load_summary.hpp"

namespace troupe {

/// What was asked, to be told with what came of it.
struct serve_bench_setting {
  std::string url; ///< With the route.
  std::string model;
  double request_rate = 0; ///< Arrivals a second; infinite: at once.
  size_t max_concurrency = 0;
  uint64_t seed = 0;
  std::string trace;        ///< Its file, or empty.
  size_t num_shortened = 0; ///< Of its requests, by limits of length.
  std::string goodput;      ///< The limits, or empty.
};

/// `late`: s, at the 99th percentile, beyond which the client says that its
/// own figures suffer.
constexpr double too_late = 0.010;

std::string serve_bench_table(const serve_bench_setting& how,
                              const bench::load_summary& x);

/// One object, with the names of vLLM's; README.md describes it.
std::string serve_bench_json(const serve_bench_setting& how,
                             const bench::load_summary& x);

} // namespace troupe
