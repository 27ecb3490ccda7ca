#pragma once

/// A finished `troupe bench model` beside an earlier one, of which the JSON was
/// kept: the same cases, and in each the same engine.

#include "runtime/error.hpp"

#include <string>
#include <utility>
#include <vector>

namespace troupe {

/// Tokens per second of one engine in one case.
struct bench_rate {
  std::string where; ///< "prefill 512", "decode, depth 0, batch 8"
  std::string who;   ///< "actors", "plain", or the name of a company
  double best = 0;   ///< Tenth percentile of the rounds, as of their times.
  double middle = 0; ///< The median.
};

/// What the JSON of a run says of itself.
struct bench_record {
  /// What decides how fast a run is beside the code: the model, the target, the
  /// threads, the precision; each with the word for it.
  std::vector<std::pair<std::string, std::string>> setting;
  double read_bytes = 0; ///< Per second, of the machine.
  std::vector<bench_rate> rates;
};

/// Error: invalid_input, if this is not what `troupe bench model --json`
/// prints.
result<bench_record> read_bench_record(const std::string& json);

/// One that both have.
struct bench_ratio {
  bench_rate earlier;
  bench_rate now;
};

/// In the order of `now`; what only one of them has is left out.
std::vector<bench_ratio> ratios_of(const bench_record& now,
                                   const bench_record& earlier);

/// A table for people, which begins with what differs in the setting.
std::string ratios_table(const bench_record& now, const bench_record& earlier);

/// `run`, the JSON of the run `now`, with a list "earlier" of its ratios:
/// case, engine, tenth_percentile and tokens_per_second of the earlier run, and
/// how many times as many now: times, times_median.
std::string with_ratios(const std::string& run, const bench_record& now,
                        const bench_record& earlier);

} // namespace troupe
