#pragma once

/// Which tensors a checkpoint of a shape consists of, and how random ones are
/// filled.

#include "runtime/checkpoint/checkpoint_writer.hpp"
#include "runtime/checkpoint/config.hpp"
#include "runtime/convert/random_weights.hpp"

#include <vector>

namespace troupe {

struct published_tensor {
  tensor_entry entry;
  random_tensor numbers; ///< Deviations as large as training begins with.
};

/// Returns all tensors under their published names, layer by layer, those of
/// MTP last. Linear weights are F8_E4M3 with scales if `c.fp8`, else BF16.
std::vector<published_tensor> published_tensors(const model_config& c);

} // namespace troupe
