#pragma once

/// How the tokens of a sequence attend. The form decides bits, so it belongs
/// to the author of a token, whatever batch and chunk compute it: what the
/// model has written is absorbed, in its own turn as in any later prompt, and
/// what was given takes the form of its segment. So a conversation computes
/// the same bits for a turn when it is said and when it is remembered.

#include "runtime/model/batch.hpp"
#include "runtime/service.hpp"

#include <span>
#include <vector>

namespace troupe {

/// From so many tokens on the arithmetic that a given segment saves pays for
/// making the keys of every head.
constexpr uint32_t min_multi_head_segment = 128;

/// Positions of one form.
struct form_run {
  attention_form form = attention_form::absorbed;
  uint32_t end = 0; ///< Behind its last position.

  friend bool operator==(const form_run&, const form_run&) = default;
};

/// The forms of a prompt, neighbours of one form as one run; the last ends with
/// the prompt. What follows it is absorbed. `segments` are the prompt's
/// (request_rules.hpp); none: it is one that was given.
std::vector<form_run> forms_of_prompt(size_t num_tokens,
                                      std::span<const prompt_segment> segments);

} // namespace troupe
