#pragma once

/// A stream of a GPU. Operations are launched by the thread that enqueues
/// them; notices come from the GPU's one thread of the host, in the order in
/// which they were asked for.

#include "kernels/cuda/gpu.hpp"
#include "kernels/device.hpp"

namespace troupe::kernels::cuda {

/// Returns a stream of its own on `on`; it fails from the beginning if CUDA
/// refuses.
std::unique_ptr<stream> make_stream(std::shared_ptr<gpu> on);

} // namespace troupe::kernels::cuda
