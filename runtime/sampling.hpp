#pragma once

/// From logits to a token. A pure function: the same logits, parameters and
/// position give the same token on every machine.

#include "runtime/service.hpp"

#include <cstdint>
#include <optional>
#include <span>

namespace troupe {

/// Uniform in [0, 1), 53 bits, from a counter-based generator (Philox 4x32-10)
/// keyed by `seed` at counter `position`. [Salmon et al., SC'11]
double uniform(uint64_t seed, uint64_t position);

/// Chooses among the first `num_choices` logits (ids beyond the tokenizer's
/// vocabulary are never sampled). temperature 0: the largest, ties to the
/// lowest id. Otherwise softmax(logits / temperature), restricted to the top_k
/// largest, then to the smallest set of largest ones whose probability is at
/// least top_p (ties in order of id), and inverted at uniform(seed, position).
/// `position` counts from 0, the first token after the prompt. Nothing, if one
/// of the logits is NaN, or the largest is infinite: then none was chosen by
/// the model.
std::optional<int32_t> sample(std::span<const float> logits,
                              uint32_t num_choices,
                              const sampling_params& params, uint32_t position);

/// What a request ends with whose logits `sample` could not use; `position` as
/// above.
failure no_choice(uint32_t position);

} // namespace troupe
