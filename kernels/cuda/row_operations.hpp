#pragma once

/// Which kernels an operation is: copies, rows, router and combination. A
/// Queue brings lists to the device, gives memory until the operation has
/// ended, copies, and launches kernels; see cuda/queue.hpp.

#include "kernels/cuda/copy_kernels.hpp"
#include "kernels/cuda/router_kernel.hpp"

#include <numeric>

namespace troupe::kernels::cuda {

/// Blocks of a launch. Without blocks there is none.
struct blocks_of_launch {
  uint32_t x = 1, y = 1, z = 1;

  bool exist() const {
    return x > 0 && y > 0 && z > 0;
  }
};

template <class Queue>
void run(Queue& q, const copy_in& op) {
  q.copy_in(op.dst.offset, op.src, op.dst.bytes);
}

template <class Queue>
void run(Queue& q, const copy_out& op) {
  q.copy_out(op.dst, op.src.offset, op.src.bytes);
}

/// Rows of `src` as bytes.
inline rows<const uint8_t> bytes_of(const tensor& src) {
  auto bytes = src.cols * size_of(src.type);
  return {reinterpret_cast<const uint8_t*>(src.mem.offset), src.stride,
          src.rows, bytes};
}

template <class Queue>
void gather(Queue& q, const tensor& src, const list<uint32_t>& idx,
            const rows<uint8_t>& dst, uint32_t first, uint32_t end) {
  gather_kernel k;
  k.src = bytes_of(src);
  k.idx = idx;
  k.dst = dst;
  k.first = first;
  k.end = end;
  k.in_pieces = is_aligned(src.mem.offset | src.stride, k.src.num_cols, 16)
                && is_aligned(reinterpret_cast<uint64_t>(dst.data) | dst.stride,
                              first, 16);
  q.launch(k, {uint32_t(idx.count)});
}

template <class Queue>
void run(Queue& q, const gather_rows& op) {
  rows<uint8_t> dst{reinterpret_cast<uint8_t*>(op.dst.mem.offset),
                    op.dst.stride, op.dst.rows,
                    op.dst.cols * size_of(op.dst.type)};
  gather(q, op.src, q.bring(op.idx), dst, 0, 0);
}

template <class Queue>
void run(Queue& q, const pack_rows& op) {
  auto count = uint32_t(op.idx.size());
  if (count == 0)
    return;
  row_layout layout{op.x.values.type, op.x.values.cols};
  auto row_bytes = layout.row_bytes();
  auto mem = q.scratch(uint64_t{count} * row_bytes);
  rows<uint8_t> dst{reinterpret_cast<uint8_t*>(mem), row_bytes, count,
                    row_bytes};
  auto idx = q.bring(op.idx);
  gather(q, op.x.values, idx, dst, 0, row_bytes);
  if (op.x.scales)
    gather(q, op.x.scales, idx, dst, layout.values_bytes(), 0);
  q.copy_out(op.dst, mem, uint64_t{count} * row_bytes);
}

template <class Queue>
void run(Queue& q, const pack_weight& op) {
  auto& w = op.dst;
  packed_weight layout{w};
  auto row_bytes = uint64_t{w.cols} * size_of(w.type);
  auto count = op.end_row() - op.first_row;
  auto blocks = num_scale_blocks(w.cols);
  auto scale_rows = num_scale_blocks(op.end_row()) - op.first_row / scale_block;
  for (uint64_t g = 0; g < w.groups; ++g) {
    q.copy_rows_in(
      w.data.offset + g * layout.matrix_bytes + op.first_row * layout.row_bytes,
      layout.row_bytes, op.src + (g * w.rows + op.first_row) * row_bytes,
      row_bytes, count);
    if (!op.scales)
      continue;
    auto first = g * layout.matrix_scales
                 + uint64_t{op.first_row / scale_block} * blocks;
    q.copy_in(w.data.offset + layout.scales_at + first * 4,
              reinterpret_cast<const std::byte*>(op.scales + first),
              uint64_t{scale_rows} * blocks * 4);
  }
}

template <class Queue>
void run(Queue& q, const embed& op) {
  embed_kernel k;
  k.ids = q.bring(op.ids);
  if (op.table.type == dtype::f32)
    k.wide = rows_of<const float>(op.table);
  else
    k.half = rows_of<const uint16_t>(op.table);
  k.out = rows_of<float>(op.out);
  q.launch(k, {uint32_t(op.ids.size())});
}

template <class Queue>
void run(Queue& q, const rms_norm& op) {
  norm_kernel k;
  k.x = rows_of<const float>(op.x);
  k.weight = rows_of<const float>(op.weight);
  k.eps = op.eps;
  k.out = operand_rows_of({op.out, {}});
  k.operand = operand_rows_of(op.operand);
  q.launch(k, {op.x.rows});
}

template <class Queue>
void run(Queue& q, const quantize& op) {
  quantize_kernel k;
  k.x = rows_of<const float>(op.x);
  k.out = operand_rows_of(op.out);
  q.launch(k, {op.x.rows});
}

template <class Queue>
void run(Queue& q, const swiglu& op) {
  swiglu_kernel k;
  k.gate = rows_of<const float>(op.gate);
  k.up = rows_of<const float>(op.up);
  k.out = operand_rows_of(op.out);
  q.launch(k, {op.gate.rows});
}

template <class Queue>
void run(Queue& q, const combine& op) {
  combine_kernel k;
  if (op.rows.type == dtype::f32)
    k.wide = rows_of<const float>(op.rows);
  else
    k.half = rows_of<const uint16_t>(op.rows);
  k.row_of = q.bring(op.row_of);
  k.weights = rows_of<const float>(op.weights);
  k.shared_expert = rows_of<const float>(op.shared);
  k.residual = rows_of<float>(op.residual);
  q.launch(k, {op.residual.rows,
               parts_of(op.residual.cols, combine_kernel::num_threads)});
}

/// Where each row of the sequences stands, in order of rows.
inline std::vector<row_place>
places_of(const std::vector<sequence_rows>& sequences) {
  std::vector<row_place> out;
  for (auto& s : sequences)
    for (uint32_t i = 0; i < s.num_rows; ++i) {
      auto position = s.first_position + i;
      auto slot = position / latent_cache::block_tokens;
      auto has_block = s.blocks && slot < s.blocks->size();
      out.push_back({position, has_block ? (*s.blocks)[slot] : 0});
    }
  return out;
}

template <class Queue>
void run(Queue& q, const append_latent& op) {
  append_kernel k;
  k.kv = rows_of<const float>(op.kv);
  k.weight = rows_of<const float>(op.weight);
  k.eps = op.eps;
  k.cos_sin = rows_of<const float>(op.cos_sin);
  k.cache = cache_rows::of(op.cache);
  k.places = q.bring(places_of(op.sequences));
  q.launch(k, {op.kv.rows});
}

template <class Queue>
void run(Queue& q, const rotate& op) {
  rotate_kernel k;
  k.x = rows_of<float>(op.x);
  k.heads = op.heads;
  k.head_stride = op.head_stride;
  k.skip = op.skip;
  k.cos_sin = rows_of<const float>(op.cos_sin);
  k.places = q.bring(places_of(op.sequences));
  q.launch(k, {op.x.rows});
}

} // namespace troupe::kernels::cuda
