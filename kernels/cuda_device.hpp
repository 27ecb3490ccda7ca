#pragma once

/// Devices on GPUs. What they are made of is a module that is opened when
/// somebody asks for one; see kernels/cuda/.

#include "kernels/device.hpp"

namespace troupe::kernels {

struct cuda_options {
  uint32_t id = 0;
  uint32_t ordinal = 0; ///< Which GPU of the machine.
};

/// Returns a device on a GPU, which others may share; null: `why` says why, in
/// one sentence. Opens the module.
std::unique_ptr<device> make_cuda_device(const cuda_options& options,
                                         std::string& why);

/// Whether the module is where this program looks for it; opens nothing.
bool has_cuda_module();

/// Returns what each GPU is that this build and machine have; none: `why` says
/// why, in one sentence.
std::vector<std::string> describe_gpus(std::string& why);

} // namespace troupe::kernels
