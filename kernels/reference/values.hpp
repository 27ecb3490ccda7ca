#pragma once

/// Reading and writing single values, rows and packed weights, whatever their
/// type. For operations that are written to be read, not to be fast.

#include "kernels/ops.hpp"

#include <vector>

namespace troupe::kernels::reference {

/// Returns the value at [r, c]; with f8_e4m3 that of the code alone.
float load(const tensor& t, uint64_t r, uint64_t c);

/// Rounds `x` to the tensor's type, f32 or bf16.
void store(const tensor& t, uint64_t r, uint64_t c, float x);

/// Returns row `r` as FP32.
std::vector<float> load_row(const tensor& t, uint64_t r);

/// Writes one row of an operand; f8_e4m3 takes scales by its tiles. `x` has
/// `out.values.cols` values.
void quantize_row(const activation& out, uint64_t r, const float* x);

/// x / sqrt(mean(x^2) + eps) * weight, in place.
void normalize(float* x, const float* weight, uint32_t count, float eps);

/// The packed form here: groups * rows * cols values, row-major; with f8_e4m3
/// the scales follow at the next multiple of 64 bytes, [groups,
/// ceil(rows / 128), ceil(cols / 128)] f32.
uint64_t weight_bytes(dtype type, uint32_t rows, uint32_t cols,
                      uint32_t groups);

/// Returns row `r` of matrix `g` as FP32, not scaled.
std::vector<float> load_row(const weight& w, uint32_t g, uint32_t r);

/// Returns the scales of the tiles of row `r` of matrix `g`; only f8_e4m3.
const float* scales_of_row(const weight& w, uint32_t g, uint32_t r);

} // namespace troupe::kernels::reference
