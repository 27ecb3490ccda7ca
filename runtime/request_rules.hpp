#pragma once

/// What a request has to fulfil, in one place. Whoever takes requests from
/// outside asks: a company for those who embed it, a rank for those of another
/// node, HTTP in order to answer in OpenAI's words.

#include "runtime/service.hpp"

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>

namespace troupe {

/// Ids with a bias, and ids that end an answer.
inline constexpr size_t max_biases = 1024;
inline constexpr size_t max_stop_ids = 64;

struct request_rules {
  uint32_t max_model_len = 0; ///< Prompt and answer together.
  uint32_t vocab_size = 0;
  uint32_t num_ranks = std::numeric_limits<uint32_t>::max();
};

enum class request_fault : uint8_t {
  empty_prompt,
  unknown_token,    ///< `given` is the id, `limit` the size of the vocabulary.
  too_long,         ///< `given` is what the prompt has, `limit` the context.
  wrong_sampling,   ///< A number outside of what sampling_params says.
  wrong_min_tokens, ///< `given` is min_tokens, `limit` the most there can be.
  many_stop_ids,    ///< `given` is how many there are.
  many_scores,      ///< `given` is how many are wanted for a token.
  long_salt,        ///< Likewise.
  long_grammar,     ///< `given` is its bytes, `limit` the most there may be.
  wrong_priority,   ///< `limit` is the most, below zero as above.
  unknown_rank,     ///< `given` is the rank, `limit` how many there are.
  wrong_segments,   ///< `given` is what they have, `limit` the prompt's tokens.
  answered_all, ///< `given` is what is answered, `limit` what was asked for.
};

/// Why a request cannot be taken, and the numbers that say so.
struct request_refusal {
  request_fault why = request_fault::empty_prompt;
  int64_t given = 0;
  int64_t limit = 0;
  uint32_t max_tokens = 0; ///< As asked for; 0: as many as there is room for.
};

/// Says why `x` cannot be taken; or settles what it leaves open (max_tokens 0)
/// and returns nothing.
std::optional<request_refusal> settle(generation_request& x,
                                      const request_rules& rules);

/// The same for a request that others read too: only one that leaves something
/// open is copied.
std::optional<request_refusal>
settle(std::shared_ptr<const generation_request>& x,
       const request_rules& rules);

/// Says why `answered` cannot be the beginning of the answer to `x`, which is
/// settled.
std::optional<request_refusal> judge_answered(const generation_request& x,
                                              std::span<const int32_t> answered,
                                              const request_rules& rules);

/// The refusal as a sentence: context_too_long, or else invalid_input.
failure to_failure(const request_refusal& x);

} // namespace troupe
