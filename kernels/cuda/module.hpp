#pragma once

/// What the CUDA module shows to the program that opens it: one C function
/// that gives this table. Both are built together; the numbers say so.

#include "kernels/device.hpp"

#include <cstddef>
#include <cstdint>

namespace troupe::kernels::cuda {

/// Grows with this table and with kernels/device.hpp.
constexpr uint32_t module_version = 1;

/// Changes with the layout of what crosses the border.
constexpr uint64_t module_layout = sizeof(operation) << 32 | sizeof(draw) << 16
                                   | sizeof(expert_mlp) << 8 | sizeof(buffer);

struct module_table {
  uint32_t version = 0;
  uint64_t layout = 0;
  const char* architectures = nullptr; ///< Built for, e.g. "sm_80 sm_90a".

  /// Returns how many GPUs there are; 0: `why` says why, in one sentence.
  uint32_t (*count)(char* why, size_t size) = nullptr;

  /// Writes what GPU `ordinal` is, in one line.
  void (*describe)(uint32_t ordinal, char* text, size_t size) = nullptr;

  /// Returns a device to delete; null: `why` says why.
  device* (*make)(uint32_t id, uint32_t ordinal, char* why, size_t size)
    = nullptr;
};

/// The name of the one function, of type module_entry.
constexpr const char* module_entry_name = "troupe_cuda_module";
using module_entry = const module_table* (*)();

} // namespace troupe::kernels::cuda
