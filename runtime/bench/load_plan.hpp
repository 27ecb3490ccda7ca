#pragma once

/// What is asked when: the requests of a measurement, before the first is
/// sent.

#include "runtime/bench/length_law.hpp"

#include <chrono>
#include <filesystem>
#include <limits>
#include <optional>
#include <vector>

namespace troupe::bench {

using nanoseconds = std::chrono::nanoseconds;

struct planned_request {
  nanoseconds arrival{0};     ///< Since the begin; of a closed loop 0.
  uint32_t prompt_tokens = 1; ///< The shared ones among them.
  uint32_t output_tokens = 1; ///< At most.

  friend bool operator==(const planned_request&, const planned_request&)
    = default;
};

struct plan_options {
  static constexpr double at_once = std::numeric_limits<double>::infinity();

  size_t num_requests = 1000;
  double rate = at_once; ///< Arrivals a second.
  double burstiness = 1; ///< Shape of the gamma law of gaps; 1: Poisson.
  length_law prompt{1024};
  length_law output{128};
  uint32_t shared_prefix = 0; ///< Tokens of every prompt, beside its own.
  uint64_t seed = 0;
};

/// By arrival. rate > 0, burstiness > 0.
std::vector<planned_request> plan_load(const plan_options& options);

/// What is made of a trace.
struct trace_options {
  size_t max_requests = SIZE_MAX;   ///< The first of them.
  double speed = 1;                 ///< 2: twice as many in the same time.
  uint32_t max_prompt = max_length; ///< Longer ones are as long as that.
  uint32_t max_output = max_length; ///< Likewise.
};

struct trace_load {
  std::vector<planned_request> requests; ///< By arrival, the first at 0.
  size_t num_shortened = 0;              ///< By the limits.
};

/// Reads CSV: lines with # are comments, the first other one names columns:
/// t_ms (milliseconds), input_tokens, and output_tokens or reason_tokens and
/// answer_tokens, which are added up; others are passed over. Error:
/// invalid_input, with the line.
result<trace_load> parse_trace(std::string_view text, std::string_view name,
                               const trace_options& options);

/// Errors: not_found, io, invalid_input.
result<trace_load> read_trace(const std::filesystem::path& path,
                              const trace_options& options);

} // namespace troupe::bench
