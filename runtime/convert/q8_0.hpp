#pragma once

/// ggml's Q8_0: blocks of 32 values as 8-bit integers times one scale.
/// [ggml, quantize_row_q8_0_ref]

#include <cstddef>
#include <cstdint>
#include <span>

namespace troupe {

/// Half precision to nearest, ties to even, subnormals included; what is too
/// large becomes infinite.
uint16_t to_f16(float x);

/// d = max|x| / 127 in FP32, q = x * (1 / d) to nearest, halves away from zero;
/// a block is d as FP16, then 32 of q. A block of zeros has d = 0. `x` is
/// finite and whole blocks; `out` has 34 bytes for each.
void quantize_q8_0(std::span<const float> x, std::byte* out);

} // namespace troupe
