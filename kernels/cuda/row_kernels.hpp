#pragma once

/// Rows that are computed value by value and leave as an operand: RMSNorm,
/// SwiGLU and quantisation. A warp takes a tile of 128 columns, which has one
/// scale.

#include "kernels/cuda/numbers.hpp"
#include "kernels/cuda/views.hpp"

#include <cmath>

namespace troupe::kernels::cuda {

/// Adds up what lanes have; every lane gets the same sum, whose order is
/// fixed.
template <class T>
GPU T sum_of_warp(T x) {
  for (uint32_t mask = 16; mask > 0; mask /= 2)
    x += shuffle_xor(x, mask);
  return x;
}

GPU float max_of_warp(float x) {
  for (uint32_t mask = 16; mask > 0; mask /= 2) {
    auto other = shuffle_xor(x, mask);
    x = other > x ? other : x;
  }
  return x;
}

/// The same for a block of `num_warps` warps, in order of warps.
template <uint32_t num_warps>
GPU double sum_of_block(double x) {
  STATIC_SHARED(double, parts, num_warps);
  x = sum_of_warp(x);
  if (lane_index() == 0)
    parts.set(warp_index(), x);
  sync_block();
  double sum = 0;
  for (uint32_t i = 0; i < num_warps; ++i)
    sum += parts.get(i);
  return sum;
}

/// Where rows go: one of the types, or nowhere.
struct operand_rows {
  dtype type = dtype::i32; ///< i32: nowhere.
  rows<float> wide;
  rows<uint16_t> half;
  rows<uint8_t> codes;
  rows<float> scales;

  /// x[j]: column 128 tile + lane + 32 j.
  GPU void store(uint32_t r, uint32_t tile, const float (&x)[4],
                 uint32_t num_cols) const {
    if (type == dtype::f8_e4m3)
      return store_codes(r, tile, x, num_cols);
    for (uint32_t j = 0; j < 4; ++j) {
      auto c = tile * scale_block + lane_index() + 32 * j;
      if (c >= num_cols)
        continue;
      if (type == dtype::f32)
        wide.row(r).set(c, x[j]);
      else if (type == dtype::bf16)
        half.row(r).set(c, to_bf16(x[j]));
    }
  }

private:
  GPU void store_codes(uint32_t r, uint32_t tile, const float (&x)[4],
                       uint32_t num_cols) const {
    auto first = tile * scale_block + lane_index();
    float largest = 0;
    for (uint32_t j = 0; j < 4; ++j)
      if (first + 32 * j < num_cols && fabsf(x[j]) > largest)
        largest = fabsf(x[j]);
    auto scale = max_of_warp(largest) / e4m3_max;
    if (lane_index() == 0)
      scales.row(r).set(tile, scale);
    for (uint32_t j = 0; j < 4; ++j)
      if (first + 32 * j < num_cols)
        codes.row(r).set(first + 32 * j, to_e4m3(x[j], scale));
  }
};

inline operand_rows operand_rows_of(const activation& x) {
  operand_rows out;
  if (!x.values)
    return out;
  out.type = x.values.type;
  if (out.type == dtype::f32)
    out.wide = rows_of<float>(x.values);
  else if (out.type == dtype::bf16)
    out.half = rows_of<uint16_t>(x.values);
  else
    out.codes = rows_of<uint8_t>(x.values);
  out.scales = rows_of<float>(x.scales);
  return out;
}

/// Calls value(c) for each column and store(tile, values) for each tile.
template <uint32_t num_warps, class Value, class Store>
GPU void for_each_tile(uint32_t num_cols, Value value, Store store) {
  auto tiles = (num_cols + scale_block - 1) / scale_block;
  for (auto tile = warp_index(); tile < tiles; tile += num_warps) {
    float x[4] = {};
    for (uint32_t j = 0; j < 4; ++j) {
      auto c = tile * scale_block + lane_index() + 32 * j;
      if (c < num_cols)
        x[j] = value(c);
    }
    store(tile, x);
  }
}

struct norm_kernel {
  static constexpr uint32_t num_threads = 128;
  static constexpr const char* name = "norm";

  rows<const float> x;
  rows<const float> weight;
  float eps = 0;
  operand_rows out; ///< f32, or nowhere.
  operand_rows operand;

  GPU void run() const {
    auto r = block_index().x;
    auto cols = x.num_cols;
    auto from = x.row(r);
    auto by = weight.row(0);
    double sum = 0;
    for_each_tile<4>(
      cols, [&](uint32_t c) { return from.get(c); },
      [&](uint32_t, const float(&v)[4]) {
        for (auto y : v)
          sum += double{y} * y;
      });
    sum = sum_of_block<4>(sum);
    auto inverse = float(1 / sqrt(sum / cols + double{eps}));
    for_each_tile<4>(
      cols, [&](uint32_t c) { return from.get(c) * inverse * by.get(c); },
      [&](uint32_t tile, const float(&v)[4]) {
        out.store(r, tile, v, cols);
        operand.store(r, tile, v, cols);
      });
  }
};

struct quantize_kernel {
  static constexpr uint32_t num_threads = 128;
  static constexpr const char* name = "quantize";

  rows<const float> x;
  operand_rows out;

  GPU void run() const {
    auto r = block_index().x;
    auto from = x.row(r);
    for_each_tile<4>(
      x.num_cols, [&](uint32_t c) { return from.get(c); },
      [&](uint32_t tile, const float(&v)[4]) {
        out.store(r, tile, v, x.num_cols);
      });
  }
};

struct swiglu_kernel {
  static constexpr uint32_t num_threads = 128;
  static constexpr const char* name = "swiglu";

  rows<const float> gate;
  rows<const float> up;
  operand_rows out;

  GPU void run() const {
    auto r = block_index().x;
    auto g = gate.row(r);
    auto u = up.row(r);
    for_each_tile<4>(
      gate.num_cols,
      [&](uint32_t c) {
        auto x = g.get(c);
        return x / (1 + expf(-x)) * u.get(c);
      },
      [&](uint32_t tile, const float(&v)[4]) {
        out.store(r, tile, v, gate.num_cols);
      });
  }
};

/// residual += (sum of k weighted rows, in their order) + shared.
struct combine_kernel {
  static constexpr uint32_t num_threads = 256;
  static constexpr const char* name = "combine";

  rows<const float> wide; ///< One of the two exists.
  rows<const uint16_t> half;
  list<uint32_t> row_of;
  rows<const float> weights;
  rows<const float> shared_expert; ///< Or none.
  rows<float> residual;

  GPU void run() const {
    auto t = block_index().x;
    auto c = block_index().y * num_threads + thread_index();
    if (c >= residual.num_cols)
      return;
    auto k = weights.num_cols;
    auto by = weights.row(t);
    float sum = 0;
    for (uint32_t i = 0; i < k; ++i) {
      auto r = row_of.get(uint64_t{t} * k + i);
      auto x = wide.exists() ? wide.row(r).get(c)
                             : from_bf16(half.row(r).get(c));
      sum = fmaf(by.get(i), x, sum);
    }
    if (shared_expert.exists())
      sum += shared_expert.row(t).get(c);
    auto out = residual.row(t);
    out.set(c, out.get(c) + sum);
  }
};

} // namespace troupe::kernels::cuda
