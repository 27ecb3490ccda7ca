#pragma once

/// A device of the host that computes with the kernels of kernels/cuda/.

#include "kernels/device.hpp"

namespace troupe::kernels::test {

std::unique_ptr<device> make_cuda_on_host(uint32_t id);

} // namespace troupe::kernels::test
