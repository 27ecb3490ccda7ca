// Copies, gathered rows, embedding, norm, quantisation.

#include "kernels/check.hpp"
#include "kernels/host/host_memory.hpp"
#include "kernels/reference/operations.hpp"
#include "kernels/reference/values.hpp"

#include <cstring>

namespace troupe::kernels::reference {

namespace {

/// Tolerates null with zero bytes, as memcpy does not.
void copy_bytes(void* dst, const void* src, uint64_t bytes) {
  if (bytes > 0)
    std::memcpy(dst, src, bytes);
}

} // namespace

void run(const copy_in& op) {
  copy_bytes(host::address_of(op.dst), op.src, op.dst.bytes);
}

void run(const copy_out& op) {
  copy_bytes(op.dst, host::address_of(op.src), op.src.bytes);
}

void run(const pack_rows& op) {
  auto& [values, scales] = op.x;
  row_layout layout{values.type, values.cols};
  auto values_bytes = uint64_t{values.cols} * size_of(values.type);
  auto dst = op.dst;
  for (auto i : op.idx) {
    std::memset(dst, 0, layout.row_bytes());
    copy_bytes(dst, host::row<std::byte>(values, i), values_bytes);
    if (scales)
      copy_bytes(dst + layout.values_bytes(), host::row<std::byte>(scales, i),
                 uint64_t{scales.cols} * sizeof(float));
    dst += layout.row_bytes();
  }
}

void run(const gather_rows& op) {
  auto bytes = uint64_t{op.src.cols} * size_of(op.src.type);
  for (size_t i = 0; i < op.idx.size(); ++i)
    copy_bytes(host::row<std::byte>(op.dst, i),
               host::row<std::byte>(op.src, op.idx[i]), bytes);
}

void run(const pack_weight& op) {
  auto& w = op.dst;
  CHECK(w.data.bytes >= weight_bytes(w.type, w.rows, w.cols, w.groups));
  auto row_bytes = uint64_t{w.cols} * size_of(w.type);
  auto tiles = uint64_t{num_scale_blocks(w.rows)} * num_scale_blocks(w.cols);
  for (uint32_t g = 0; g < w.groups; ++g) {
    auto first = (uint64_t{g} * w.rows + op.first_row) * row_bytes;
    copy_bytes(host::address_of(w.data) + first, op.src + first,
               (op.end_row() - op.first_row) * row_bytes);
    if (w.type == dtype::f8_e4m3)
      copy_bytes(const_cast<float*>(scales_of_row(w, g, 0)),
                 op.scales + g * tiles, tiles * sizeof(float));
  }
}

void run(const embed& op) {
  for (size_t t = 0; t < op.ids.size(); ++t)
    for (uint32_t c = 0; c < op.out.cols; ++c)
      store(op.out, t, c, load(op.table, uint64_t(op.ids[t]), c));
}

void run(const rms_norm& op) {
  auto weight = load_row(op.weight, 0);
  auto cols = op.x.cols;
  for (uint32_t t = 0; t < op.x.rows; ++t) {
    auto x = load_row(op.x, t);
    normalize(x.data(), weight.data(), cols, op.eps);
    if (op.out)
      copy_bytes(host::row<float>(op.out, t), x.data(), cols * sizeof(float));
    if (op.operand.values)
      quantize_row(op.operand, t, x.data());
  }
}

void run(const quantize& op) {
  for (uint32_t t = 0; t < op.x.rows; ++t)
    quantize_row(op.out, t, load_row(op.x, t).data());
}

} // namespace troupe::kernels::reference
