#pragma once

/// The stopwatch of `troupe bench model`: how long a service, or the plain
/// path, takes for a prompt and for steady decoding. One run at a time.

#include "runtime/clock.hpp"
#include "runtime/model/plain_forward.hpp"
#include "runtime/service.hpp"

#include <vector>

namespace troupe {

using prompt_list = std::vector<std::vector<int32_t>>;

struct decode_time {
  double seconds = 0;       ///< Of all steps together.
  double mean_position = 0; ///< Of the tokens that went in.
};

class service_runs {
public:
  /// Both outlive this.
  service_runs(service& x, const clock& time) : service_(x), time_(time) {
  }

  /// Seconds from the first request to the last one's first token. Errors:
  /// what the service says.
  result<double> prefill(const prompt_list& prompts);

  /// Runs all prompts at once and times `num_steps` steps of each sequence from
  /// its latest token at the moment at which every one has its first: what is
  /// told is how long the steps would take if all went at the mean rate. Others
  /// decode while the last are prefilled, so each may go on for `max_tokens`;
  /// then all are cancelled.
  /// Errors: overloaded if one ended before the last was through.
  result<decode_time> decode(const prompt_list& prompts, uint32_t num_steps,
                             uint32_t max_tokens);

private:
  service& service_;
  const clock& time_;
};

class plain_runs {
public:
  /// Both outlive this.
  plain_runs(plain_forward& x, const clock& time) : plain_(x), time_(time) {
  }

  /// One prompt after the other.
  result<double> prefill(const prompt_list& prompts);
  result<decode_time> decode(const prompt_list& prompts, uint32_t num_steps);

private:
  plain_forward& plain_;
  const clock& time_;
};

} // namespace troupe
