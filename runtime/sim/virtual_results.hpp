#pragma once

/// What a virtual device writes besides what it computes.

#include "kernels/ops.hpp"

#include <cstdint>

namespace troupe {

/// Fills what `op` is going to overwrite, whatever it holds, with 0xff: NaN, or
/// an index that fits nothing. Spared is what it reads as well, what it
/// appends to, scratch and packed weights.
void poison_outputs(const kernels::operation& op);

/// Does `op` without arithmetic: routers choose distinct experts and draws
/// choose ids, as a hash has it; copies to the host are made, all else is left
/// as it is. The experts depend on `seed`, ids on their draw alone, so that a
/// request has the same tokens wherever it runs.
void imagine(const kernels::operation& op, uint64_t seed);

} // namespace troupe
