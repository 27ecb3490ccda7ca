#pragma once

/// What stands beside the figure of one company in a case: how it compares with
/// the first one, and what overlap allows it at best.

#include "deploy/bench_model.hpp"

namespace troupe {

/// Tenth percentiles, tokens per second of all sequences.
double best_rate(const bench_case& x, const bench_series& series);

/// How many times as many tokens per second as the first company: in the same
/// case, or with the same number of sequences for each lane.
double gain(const bench_report& all, const bench_case& x,
            const bench_series& series);

/// Tokens per second if of every layer with experts nothing were seen but the
/// longer of two times: latency there and back and the arithmetic of one of k
/// micro-batches, or that of all k. The arithmetic is what a company of one
/// micro-batch took without emulated links (bench_options::with_bound), its
/// real links included; nothing without it, or for itself.
std::optional<double> allowed_rate(const bench_report& all, const bench_case& x,
                                   const bench_series& series);

} // namespace troupe
