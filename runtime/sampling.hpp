#pragma once

/// From a request to the draws of its tokens, which kernels::sample carries
/// out. A pure function: the same logits, parameters and position give the
/// same token on every machine.

#include "kernels/ops.hpp"
#include "runtime/service.hpp"

#include <cstdint>

namespace troupe {

/// Uniform in [0, 2^53), from a counter-based generator (Philox 4x32-10) keyed
/// by `seed` at counter `position`. [Salmon et al., SC'11]
uint64_t point_of(uint64_t seed, uint64_t position);

/// How the token at `position` is chosen, which counts from 0, the first after
/// the prompt: among the first `num_choices` ids, since those beyond the
/// tokenizer's vocabulary are never sampled. Which row of logits is looked at
/// is up to who computes them.
kernels::draw draw_of(const sampling_params& params, uint32_t num_choices,
                      uint32_t position);

/// What a request ends with whose logits allowed no token (kernels::no_token);
/// `position` as above.
failure no_choice(uint32_t position);

} // namespace troupe
