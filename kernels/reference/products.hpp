#pragma once

/// Rows times a weight: what linear, router and the experts share.

#include "kernels/reference/values.hpp"

#include <vector>

namespace troupe::kernels::reference {

/// One row of an operand as FP32, not scaled.
struct operand_row {
  std::vector<float> values;     ///< [K]
  const float* scales = nullptr; ///< [ceil(K / 128)]; null: all are 1.
};

/// Returns rows idx[0 .. count) of `x`.
std::vector<operand_row> load_rows(const activation& x, const uint32_t* idx,
                                   uint32_t count);

/// Returns all rows of `x`.
std::vector<operand_row> load_rows(const activation& x);

/// Returns one output: K ascends in one FP32 accumulator; with w_scales block
/// by block, each block's sum times both scales.
float multiply(const operand_row& x, const std::vector<float>& w,
               const float* w_scales);

/// Calls sink(i, n, xs[i] . row n of matrix g) for all of them.
template <class Sink>
void multiply(const std::vector<operand_row>& xs, const weight& w, uint32_t g,
              Sink sink) {
  for (uint32_t n = 0; n < w.rows; ++n) {
    auto row = load_row(w, g, n);
    auto scales = w.type == dtype::f8_e4m3 ? scales_of_row(w, g, n) : nullptr;
    for (uint32_t i = 0; i < xs.size(); ++i)
      sink(i, n, multiply(xs[i], row, scales));
  }
}

} // namespace troupe::kernels::reference
