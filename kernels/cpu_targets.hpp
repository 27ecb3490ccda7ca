#pragma once

/// What the CPU device can be told to compute with.

#include <string>
#include <vector>

namespace troupe::kernels {

/// Returns the targets that this build and machine have, as cpu_options::target
/// names them, best first. "best" is the first of them whose use pays.
std::vector<std::string> cpu_targets();

} // namespace troupe::kernels
