#pragma once

/// How a weight lies in memory: for each matrix its panels of 32 outputs, one
/// after the other. A panel is its values, k ascending (see kernel_set.hpp),
/// then, with f8_e4m3, one scale per 128 inputs and a word of marks, see
/// kernel_set.hpp. Outputs are padded to 32 and inputs to a pair, with f8_e4m3
/// to 128, by zeros.

#include "kernels/cpu/kernel_set.hpp"
#include "kernels/ops.hpp"

namespace troupe::kernels::cpu {

struct packed_shape {
  dtype type = dtype::bf16;
  uint32_t rows = 0;
  uint32_t cols = 0;

  explicit packed_shape(const weight& w)
    : packed_shape(w.type, w.rows, w.cols) {
  }

  packed_shape(dtype type, uint32_t rows, uint32_t cols)
    : type(type), rows(rows), cols(cols) {
  }

  uint32_t panels() const {
    return (rows + panel_rows - 1) / panel_rows;
  }

  uint32_t blocks() const {
    return type == dtype::f8_e4m3 ? num_scale_blocks(cols) : 0;
  }

  /// Inputs with their padding.
  uint32_t depth() const {
    if (type == dtype::f8_e4m3)
      return blocks() * scale_block;
    return type == dtype::bf16 ? (cols + 1) / 2 * 2 : cols;
  }

  uint64_t values_bytes() const {
    return uint64_t{depth()} * panel_rows * size_of(type);
  }

  /// Where the marks of a panel begin.
  uint64_t marks_offset() const {
    return values_bytes() + (blocks() + 1) / 2 * 2 * sizeof(float);
  }

  uint64_t panel_bytes() const {
    auto end = marks_offset() + blocks() * sizeof(uint64_t);
    return (end + 63) / 64 * 64;
  }

  uint64_t matrix_bytes() const {
    return panels() * panel_bytes();
  }
};

/// Packs panel `panel` of matrix `group`: every byte of it is written.
void pack_panel(const kernel_set& kernels, const pack_weight& op,
                uint32_t group, uint32_t panel);

} // namespace troupe::kernels::cpu
