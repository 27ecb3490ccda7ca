#pragma once

/// Matrices as kernels see them, and where a packed weight has what.

#include "kernels/cuda/grid.hpp"
#include "kernels/ops.hpp"

namespace troupe::kernels::cuda {

/// Rows of elements of one type. An empty one has no data.
template <class T>
struct rows {
  T* data = nullptr;
  uint64_t stride = 0; ///< Bytes.
  uint32_t num_rows = 0;
  uint32_t num_cols = 0;

  GPU global<T> row(uint64_t r) const {
    expect(r < num_rows);
    using byte = std::conditional_t<std::is_const_v<T>, const char, char>;
    auto first = reinterpret_cast<byte*>(data) + r * stride;
    return global<T>::at(reinterpret_cast<T*>(first), num_cols);
  }

  GPU bool exists() const {
    return data != nullptr;
  }
};

/// T is the C++ type of `t.type`.
template <class T>
rows<T> rows_of(const tensor& t) {
  if (!t)
    return {};
  return {reinterpret_cast<T*>(t.mem.offset), t.stride, t.rows, t.cols};
}

/// Whether rows may be read in pieces of `bytes`.
inline bool is_aligned(uint64_t address, uint64_t stride, uint64_t bytes) {
  return address % bytes == 0 && stride % bytes == 0;
}

/// Elements that an operation has brought along for its kernels.
template <class T>
struct list {
  const T* data = nullptr;
  uint64_t count = 0;

  GPU T get(uint64_t i) const {
    return global<const T>::at(data, count).get(i);
  }
};

/// The packed form: matrices one after the other, rows of whole 16 bytes; with
/// f8_e4m3 the scales follow, [groups, ceil(rows / 128), ceil(cols / 128)].
struct packed_weight {
  uint64_t row_bytes = 0;
  uint64_t matrix_bytes = 0;
  uint64_t scales_at = 0; ///< From the start of the weight.
  uint64_t matrix_scales = 0;

  packed_weight(dtype type, uint32_t num_rows, uint32_t num_cols,
                uint32_t groups)
    : row_bytes((uint64_t{num_cols} * size_of(type) + 15) / 16 * 16),
      matrix_bytes(num_rows * row_bytes), scales_at(groups * matrix_bytes),
      matrix_scales(uint64_t{num_scale_blocks(num_rows)}
                    * num_scale_blocks(num_cols)),
      bytes_(scales_at
             + (type == dtype::f8_e4m3 ? groups * matrix_scales * 4 : 0)) {
  }

  explicit packed_weight(const weight& w)
    : packed_weight(w.type, w.rows, w.cols, w.groups) {
  }

  uint64_t bytes() const {
    return bytes_;
  }

private:
  uint64_t bytes_ = 0;
};

inline uint32_t parts_of(uint64_t size, uint32_t part) {
  return uint32_t((size + part - 1) / part);
}

} // namespace troupe::kernels::cuda
