#pragma once

/// What operations are as kernels: one each.

#include "kernels/ops.hpp"
#include "runtime/cost/kernel_work.hpp"

namespace troupe {

kernel_work work_of(const kernels::operation& op);

} // namespace troupe
