#pragma once

/// Devices that compute on the host: memory, and streams over an executor.

#include "kernels/device.hpp"
#include "kernels/host/thread_pool.hpp"

namespace troupe::kernels {

/// One for each stream. It must not own the pool: the last thread that lets go
/// of it may be the pool's.
using executor_factory = std::function<std::unique_ptr<executor>()>;

/// Returns a device whose streams compute on the threads of `pool`.
std::unique_ptr<device> make_host_device(uint32_t id, executor_factory make,
                                         std::shared_ptr<thread_pool> pool);

} // namespace troupe::kernels
