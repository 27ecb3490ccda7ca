#include "kernels/cpu/packing.hpp"

#include "kernels/host/host_memory.hpp"

#include <algorithm>
#include <cstring>

namespace troupe::kernels::cpu {

namespace {

/// Where value k of output n of a panel lies, in values.
uint64_t position(dtype type, uint32_t n, uint32_t k) {
  auto step = uint64_t{k / 2} * panel_rows * 2;
  if (type == dtype::f32)
    return uint64_t{k} * panel_rows + n;
  if (type == dtype::bf16)
    return step + n * 2 + k % 2;
  return step + f8_position(n, k % 2);
}

template <class T>
void pack_values(const packed_shape& shape, const T* src, uint32_t count,
                 std::byte* dst) {
  auto out = reinterpret_cast<T*>(dst);
  for (uint32_t n = 0; n < count; ++n, src += shape.cols)
    for (uint32_t k = 0; k < shape.cols; ++k)
      out[position(shape.type, n, k)] = src[k];
}

} // namespace

void pack_panel(const pack_weight& op, uint32_t group, uint32_t panel) {
  packed_shape shape(op.dst);
  auto dst = host::address_of(op.dst.data) + group * shape.matrix_bytes()
             + panel * shape.panel_bytes();
  std::memset(dst, 0, shape.panel_bytes());
  auto first = panel * panel_rows;
  auto count = std::min(panel_rows, shape.rows - first);
  auto row = uint64_t{group} * shape.rows + first;
  auto src = op.src + row * shape.cols * size_of(shape.type);
  if (shape.type == dtype::f32)
    pack_values(shape, reinterpret_cast<const float*>(src), count, dst);
  else if (shape.type == dtype::bf16)
    pack_values(shape, reinterpret_cast<const uint16_t*>(src), count, dst);
  else
    pack_values(shape, reinterpret_cast<const uint8_t*>(src), count, dst);
  if (shape.blocks() == 0)
    return;
  auto tile = uint64_t{group} * num_scale_blocks(shape.rows)
              + first / scale_block;
  std::memcpy(dst + shape.values_bytes(), op.scales + tile * shape.blocks(),
              shape.blocks() * sizeof(float));
}

} // namespace troupe::kernels::cpu
