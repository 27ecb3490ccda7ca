#pragma once

/// kv_b_proj in two halves, as attention over the latent reads it: the part of
/// the keys goes to the query's side, so it is transposed, head by head.

#include "runtime/checkpoint/safetensors.hpp"

#include <span>
#include <vector>

namespace troupe {

struct absorbed_shape {
  uint32_t heads = 0;
  uint32_t latent = 0;
  uint32_t nope = 0;
  uint32_t v_head = 0;
};

template <class T>
struct absorbed_halves {
  std::vector<T> k; ///< heads x [latent, nope]
  std::vector<T> v; ///< heads x [v_head, latent]
};

/// Takes kv_b_proj [heads * (nope + v_head), latent] apart: BF16, or F8_E4M3
/// that `scales` of its tiles of 128 x 128 multiply. T is float or, rounded
/// to BF16, uint16_t.
template <class T>
absorbed_halves<T> absorb(const tensor_view& w, std::span<const float> scales,
                          const absorbed_shape& shape);

} // namespace troupe
