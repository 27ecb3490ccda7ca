#pragma once

/// What tells that an expert which was loaded anew is the one that was meant,
/// and that it computes what it should.

#include "runtime/digest.hpp"
#include "runtime/model/weights.hpp"

#include <cstddef>
#include <optional>
#include <vector>

namespace troupe {

/// Of all tensors of an expert, whose digests are in `all`; nothing if there
/// are none of it. Layers are the model's.
std::optional<digest> expert_digest(const digest_table& all, uint32_t layer,
                                    uint32_t expert);

/// The bytes that the expert in a slot makes of a row which is always the same.
/// Waits; not for actors. Errors: out_of_memory, step_failed.
result<std::vector<std::byte>> canary_row(kernels::device& dev,
                                          const expert_shard& shard,
                                          uint32_t moe_layer, uint32_t slot);

} // namespace troupe
