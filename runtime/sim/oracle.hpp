#pragma once

/// What a run has to answer, whatever befalls it: the plain path's words.

#include "kernels/device.hpp"
#include "runtime/checkpoint/checkpoint.hpp"
#include "runtime/grammar/grammar_cache.hpp"
#include "runtime/sim/request_load.hpp"

namespace troupe {

struct oracle_options {
  precision activations = precision::fp8;
  uint32_t max_model_len = 4096; ///< As the company has it.
  uint32_t num_choices = 0;      ///< Ids that may be sampled; 0: all.
  std::shared_ptr<grammar_cache> grammars = nullptr; ///< As plain_options.
  uint32_t num_ranks = 1; ///< That requests may name.
  /// Requests with an even seed want logits, whose bits are expected, too.
  bool with_logits = true;
};

/// Puts an answer to each request of `load`, whose prompts are ids; of those
/// that nobody may take, a refusal. `progress` hears how many there are.
/// Errors: of loading; step_failed.
result<void> ask_plain_path(
  const checkpoint& source, std::shared_ptr<kernels::executor> how,
  const oracle_options& options, client_load& load,
  const std::function<void(uint64_t done, uint64_t total)>& progress = {});

} // namespace troupe
