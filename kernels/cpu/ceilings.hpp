#pragma once

/// What a core can do at best: loops of one kind of instruction, to hold the
/// operations against. They read no clock: see probe.hpp.

#include <cstddef>
#include <cstdint>

namespace troupe::kernels::cpu {

/// Multiplies and adds in FP32 registers and returns the number of FLOPs, in
/// proportion to `rounds`; 0 on a CPU that nothing is known of.
uint64_t spin_fma(uint64_t rounds);

/// Likewise by BF16 dot products; 0 if the machine has none.
uint64_t spin_dot(uint64_t rounds);

/// Reads `bytes` (a multiple of 512) and returns something that depends on
/// them all.
uint64_t read_all(const std::byte* mem, uint64_t bytes);

} // namespace troupe::kernels::cpu
