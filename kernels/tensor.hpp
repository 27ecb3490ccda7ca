#pragma once

/// Names for memory on a device. Nothing here can be dereferenced: only the
/// device that handed a buffer out knows where it lies. All of these are cheap
/// to copy and never free.

#include <cstdint>

namespace troupe::kernels {

/// Element types. `f8_e4m3` is the OCP format without infinities.
enum class dtype : uint8_t { f32, bf16, f8_e4m3, i32 };

/// Returns the bytes of one element.
constexpr uint32_t size_of(dtype type) {
  switch (type) {
    case dtype::f8_e4m3:
      return 1;
    case dtype::bf16:
      return 2;
    default:
      return 4;
  }
}

/// Quantisation scales belong to one row and `scale_block` columns of an
/// activation, or to a `scale_block` x `scale_block` tile of a weight.
constexpr uint32_t scale_block = 128;

constexpr uint32_t num_scale_blocks(uint32_t size) {
  return (size + scale_block - 1) / scale_block;
}

/// A range of a device's memory. `offset` means something to `device` alone.
struct buffer {
  uint32_t device = 0; ///< device::id() of the owner.
  uint64_t offset = 0; ///< Multiple of 64 at the start of an allocation.
  uint64_t bytes = 0;

  explicit operator bool() const {
    return bytes > 0;
  }

  /// Returns the part [first, first + size) of this range.
  buffer slice(uint64_t first, uint64_t size) const {
    return {device, offset + first, size};
  }
};

/// A row-major matrix in a buffer. `stride` counts bytes, so that a row may
/// carry more than its values (scales, padding).
struct tensor {
  buffer mem; ///< mem.offset is the address of element [0, 0].
  dtype type = dtype::f32;
  uint32_t rows = 0;
  uint32_t cols = 0;
  uint64_t stride = 0; ///< Bytes from one row to the next.

  /// Returns rows [first, first + count).
  tensor slice_rows(uint32_t first, uint32_t count) const {
    auto out = *this;
    out.mem = mem.slice(first * stride, count * stride);
    out.rows = count;
    return out;
  }

  /// Returns columns [first, first + count).
  tensor slice_cols(uint32_t first, uint32_t count) const {
    auto out = *this;
    auto skip = uint64_t{first} * size_of(type);
    out.mem = mem.slice(skip, mem.bytes - skip);
    out.cols = count;
    return out;
  }

  explicit operator bool() const {
    return bool(mem);
  }
};

/// Returns a dense matrix that starts at the beginning of `mem`.
inline tensor dense(buffer mem, dtype type, uint32_t rows, uint32_t cols) {
  return {mem, type, rows, cols, uint64_t{cols} * size_of(type)};
}

/// One operand of a product: rows of tokens in the format that the product
/// reads. With f8_e4m3 values every row has one scale per 128 columns:
/// x[r, c] = values[r, c] * scales[r, c / 128].
struct activation {
  tensor values; ///< [rows, cols] f32, bf16 or f8_e4m3
  tensor scales; ///< [rows, ceil(cols / 128)] f32; only with f8_e4m3

  activation slice_rows(uint32_t first, uint32_t count) const {
    return {values.slice_rows(first, count),
            scales ? scales.slice_rows(first, count) : scales};
  }
};

/// A stack of `groups` matrices [rows, cols] that a device has packed its own
/// way; see device::weight_bytes and operation pack_weight. y = x W^T.
struct weight {
  buffer data;
  dtype type = dtype::bf16; ///< What the values are worth: f32, bf16, f8_e4m3.
  uint32_t rows = 0;        ///< Outputs of one matrix.
  uint32_t cols = 0;        ///< Inputs of one matrix.
  uint32_t groups = 1;

  explicit operator bool() const {
    return bool(data);
  }
};

} // namespace troupe::kernels
