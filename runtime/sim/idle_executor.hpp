#pragma once

/// For models that nobody computes with: weights take no room to speak of, and
/// results are made up as virtual devices without arithmetic do, so that the
/// plain path has their tokens, too.

#include "kernels/device.hpp"

namespace troupe {

std::unique_ptr<kernels::executor> make_idle_executor();

} // namespace troupe
