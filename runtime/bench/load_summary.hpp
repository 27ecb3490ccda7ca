#pragma once

/// What a measurement comes to.

#include "runtime/bench/goodput.hpp"

#include <map>

namespace troupe::bench {

/// Of a number that many have; all 0 where nobody has it.
struct distribution {
  size_t count = 0;
  double mean = 0;
  double deviation = 0;
  double p50 = 0;
  double p90 = 0;
  double p95 = 0;
  double p99 = 0;
  double most = 0;
};

/// Between two values it goes in a straight line.
distribution describe(std::vector<double> values);

struct failed_calls {
  size_t count = 0;
  std::string example;
};

struct load_summary {
  double duration = 0; ///< s; from the first arrival to the last end.
  size_t completed = 0;
  size_t failed = 0;
  std::map<std::string, failed_calls> errors; ///< By kind.
  size_t good = 0;                            ///< Within the limits of goodput.
  uint64_t prompt_tokens = 0;                 ///< Of those that were completed.
  uint64_t output_tokens = 0;                 ///< Likewise.
  uint64_t pieces = 0;                        ///< Likewise.
  size_t uncounted = 0; ///< Completed ones whose tokens nobody has told.
  size_t most_running = 0;
  // Of those that were completed, s:
  distribution ttft; ///< To the first token, from the intended arrival.
  distribution tpot; ///< For each token after it.
  distribution itl;  ///< Between two pieces.
  distribution e2el; ///< To the end, from the intended arrival.
  // Of the client, s:
  distribution late_sends; ///< Behind the moment when a request was due.
  distribution late_loop;  ///< Behind that of its own ticks.

  double per_second(double x) const {
    return duration > 0 ? x / duration : 0;
  }
};

/// `late_loop`: s, of each tick.
load_summary summarise(const std::vector<call_record>& all,
                       const goodput_limits& limits,
                       const std::vector<float>& late_loop);

} // namespace troupe::bench
