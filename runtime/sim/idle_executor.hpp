#pragma once

/// For models that nobody computes with: weights take no room to speak of, and
/// nothing is done to them.

#include "kernels/device.hpp"

namespace troupe {

std::unique_ptr<kernels::executor> make_idle_executor();

} // namespace troupe
