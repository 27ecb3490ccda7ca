#pragma once

/// Finds the CUDA module, a shared object that is opened when somebody asks
/// for a GPU: a node without one neither links nor loads CUDA.

#include "kernels/cuda_device.hpp"

#include <filesystem>

namespace troupe::kernels {

/// The name of the module's file.
constexpr const char* cuda_module_file = "libtroupe_cuda.so";

/// Where the module of a program may be: beside it, where it is installed, and
/// where it is built.
std::vector<std::filesystem::path>
cuda_module_places(const std::filesystem::path& program);

} // namespace troupe::kernels
