#pragma once

/// Rows times matrices: all products of the model, dense and of experts. An
/// output has one FP32 accumulator and K ascends in steps of 16, whatever the
/// number of rows, so that one row has the same bits in every batch.
///
/// Codes of E4M3 become BF16, which is exact, and are multiplied as BF16: the
/// FP8 products of Hopper sum with some 14 bits [DeepSeek-V3 report, section
/// 3.3.2], too few for the bound of `linear`. FP32 operands become three BF16
/// terms, which together are exact.

#include "kernels/cuda/numbers.hpp"
#include "kernels/cuda/views.hpp"

#include <cmath>

namespace troupe::kernels::cuda {

/// Some rows of the operand times one matrix.
struct product_job {
  uint64_t w = 0;        ///< Address of the matrix.
  uint64_t w_scales = 0; ///< Of its scales; 0: none.
  uint32_t first = 0;    ///< Of the list of rows, or row of x.
  uint32_t out_first = 0;
  uint32_t count = 0;
  uint32_t x_col = 0;
  uint32_t out_col = 0;
  uint32_t out = 0; ///< Which of the outputs.
};

struct product_outs {
  rows<float> wide[2];
  rows<uint16_t> half; ///< Instead, if it exists.
  rows<const float> residual;

  GPU void store(const product_job& job, uint32_t m, uint32_t n,
                 float x) const {
    auto r = job.out_first + m;
    auto c = job.out_col + n;
    if (residual.exists())
      x += residual.row(r).get(c);
    if (half.exists())
      half.row(r).set(c, to_bf16(x));
    else
      wide[job.out].row(r).set(c, x);
  }
};

template <class T>
struct alignas(sizeof(T) == 1 ? 8 : 16) eight {
  T value[8];
};

struct alignas(16) four_floats {
  float value[4];
};

/// Elements [k, k + 8) of a row, zeros from `end` on.
template <class T>
GPU eight<T> load_eight(const global<const T>& row, uint64_t k, uint64_t end,
                        bool is_aligned) {
  eight<T> out;
  if (is_aligned && k + 8 <= end) {
    if constexpr (sizeof(T) == 4) {
      auto low = row.template get_piece<four_floats>(k);
      auto high = row.template get_piece<four_floats>(k + 4);
      GPU_UNROLL
      for (int i = 0; i < 4; ++i) {
        out.value[i] = low.value[i];
        out.value[i + 4] = high.value[i];
      }
    } else {
      out = row.template get_piece<eight<T>>(k);
    }
    return out;
  }
  GPU_UNROLL
  for (uint32_t i = 0; i < 8; ++i)
    out.value[i] = k + i < end ? row.get(k + i) : T{};
  return out;
}

/// The first eight bits of a number's digits.
GPU float head_of(float x) {
  return std::bit_cast<float>(bits_of(x) & 0xffff0000);
}

/// A piece of an operand as BF16, in `terms` terms whose sum it is.
template <uint32_t terms, class T>
GPU void to_bf16_terms(const eight<T>& x, bytes16 (&out)[terms]) {
  GPU_UNROLL
  for (int p = 0; p < 4; ++p) {
    auto a = x.value[2 * p];
    auto b = x.value[2 * p + 1];
    if constexpr (sizeof(T) == 1) {
      out[0].word[p] = bf16_of_e4m3(a | uint32_t{b} << 8);
    } else if constexpr (sizeof(T) == 2) {
      out[0].word[p] = a | uint32_t{b} << 16;
    } else if constexpr (terms == 1) {
      out[0].word[p] = to_bf16(a) | uint32_t{to_bf16(b)} << 16;
    } else {
      auto is_finite = [](float y) {
        return (bits_of(y) & 0x7f800000) != 0x7f800000;
      };
      auto quiet = [](float y) { // the head of a NaN may be infinite
        return (bits_of(y) & 0x7fffffff) > 0x7f800000 ? bits_of(y) | 0x400000
                                                      : bits_of(y);
      };
      GPU_UNROLL
      for (uint32_t i = 0; i < terms; ++i) {
        out[i].word[p] = quiet(a) >> 16 | (quiet(b) & 0xffff0000);
        a = is_finite(a) ? a - head_of(a) : 0;
        b = is_finite(b) ? b - head_of(b) : 0;
      }
    }
  }
}

constexpr uint32_t product_step = scale_block;      ///< Of K, in shared memory.
constexpr uint32_t product_line = product_step + 8; ///< Spreads over banks.
constexpr uint32_t product_cols = 64;               ///< Outputs of a block.

/// Register r of the fragment of A, rows from `first` on, columns from k on.
GPU uint32_t fragment_a(const shared<uint16_t>& a, uint32_t line,
                        uint32_t first, uint32_t k, uint32_t r) {
  auto row = first + lane_index() / 4 + 8 * (r % 2);
  auto col = k + lane_index() % 4 * 2 + 8 * (r / 2);
  return a.template get_piece<uint32_t>(row * line + col);
}

/// Register r of the fragment of B, whose columns are rows of `b` here.
GPU uint32_t fragment_b(const shared<uint16_t>& b, uint32_t line,
                        uint32_t first, uint32_t k, uint32_t r) {
  auto row = first + lane_index() / 4;
  return b.template get_piece<uint32_t>(row * line + k + lane_index() % 4 * 2
                                        + 8 * r);
}

/// Row of element i of an accumulator within its 16 x 8.
GPU uint32_t fragment_row(uint32_t i) {
  return lane_index() / 4 + 8 * (i / 2);
}

GPU uint32_t fragment_col(uint32_t i) {
  return lane_index() % 4 * 2 + i % 2;
}

/// X and W are the elements as they lie: uint8_t (E4M3), uint16_t (BF16), X
/// float too. Four warps, 16 outputs each, of 16 `tiles` rows.
template <class X, class W, uint32_t terms, uint32_t tiles>
struct product_kernel {
  static constexpr uint32_t num_threads = 128;
  static constexpr const char* name = "product";
  static constexpr uint32_t num_rows = 16 * tiles;
  static constexpr uint32_t a_size = num_rows * product_line;
  static constexpr uint32_t shared_bytes
    = (terms * a_size + product_cols * product_line) * 2;
  static constexpr bool is_scaled = sizeof(W) == 1;

  rows<const X> x;
  rows<const float> x_scales;
  list<uint32_t> row; ///< Empty: rows of x in their order.
  bool x_is_aligned = false;
  list<product_job> jobs;
  uint32_t num_outputs = 0;
  uint32_t num_inputs = 0;
  uint64_t w_row_bytes = 0;
  product_outs outs;

  GPU void run() const {
    auto job = jobs.get(block_index().x);
    auto first_col = block_index().y * product_cols;
    float sums[tiles][2][4] = {};
    for (uint32_t k = 0; k < num_inputs; k += product_step) {
      load_rows(job, k);
      load_weight(job, first_col, k);
      sync_block();
      if constexpr (is_scaled) {
        float part[tiles][2][4] = {};
        multiply(k, part);
        add_scaled(job, first_col, k, part, sums);
      } else {
        multiply(k, sums);
      }
      sync_block();
    }
    store(job, first_col, sums);
  }

private:
  GPU uint64_t source_row(const product_job& job, uint32_t m) const {
    return row.data ? row.get(job.first + m) : job.first + m;
  }

  GPU static shared<uint16_t> a_of(uint32_t term) {
    return dynamic_shared<uint16_t>(term * a_size * 2, a_size);
  }

  GPU static shared<uint16_t> b_of() {
    return dynamic_shared<uint16_t>(terms * a_size * 2,
                                    product_cols * product_line);
  }

  GPU void load_rows(const product_job& job, uint32_t k) const {
    constexpr uint32_t pieces = product_step / 8;
    constexpr uint32_t each = num_rows * pieces / num_threads;
    GPU_UNROLL
    for (uint32_t i = 0; i < each; ++i) {
      auto item = i * num_threads + thread_index();
      auto m = item / pieces;
      auto at = k + item % pieces * 8;
      eight<X> from{};
      if (m < job.count && at < num_inputs)
        from = load_eight(x.row(source_row(job, m)), job.x_col + at,
                          job.x_col + num_inputs, x_is_aligned);
      bytes16 out[terms];
      to_bf16_terms<terms>(from, out);
      for (uint32_t term = 0; term < terms; ++term)
        a_of(term).set_piece(m * product_line + at - k, out[term]);
    }
  }

  GPU void load_weight(const product_job& job, uint32_t first_col,
                       uint32_t k) const {
    constexpr uint32_t pieces = product_step / 8;
    constexpr uint32_t each = product_cols * pieces / num_threads;
    rows<const W> w{reinterpret_cast<const W*>(job.w), w_row_bytes, num_outputs,
                    num_inputs};
    eight<W> from[each]; // all of them on their way at once
    GPU_UNROLL
    for (uint32_t i = 0; i < each; ++i) {
      auto item = i * num_threads + thread_index();
      auto n = first_col + item / pieces;
      auto at = k + item % pieces * 8;
      from[i] = {};
      if (n < num_outputs && at < num_inputs)
        from[i] = load_eight(w.row(n), at, num_inputs, true);
    }
    GPU_UNROLL
    for (uint32_t i = 0; i < each; ++i) {
      auto item = i * num_threads + thread_index();
      bytes16 out[1];
      to_bf16_terms<1>(from[i], out);
      b_of().set_piece(item / pieces * product_line + item % pieces * 8,
                       out[0]);
    }
  }

  GPU void multiply(uint32_t k, float (&sums)[tiles][2][4]) const {
    auto end = num_inputs - k < product_step ? num_inputs - k : product_step;
    for (uint32_t at = 0; at < end; at += 16) {
      uint32_t b[2][2];
      GPU_UNROLL
      for (uint32_t j = 0; j < 2; ++j) {
        GPU_UNROLL
        for (uint32_t r = 0; r < 2; ++r)
          b[j][r] = fragment_b(b_of(), product_line, warp_index() * 16 + 8 * j,
                               at, r);
      }
      GPU_UNROLL
      for (uint32_t tile = 0; tile < tiles; ++tile) {
        GPU_UNROLL
        for (uint32_t term = 0; term < terms; ++term) {
          uint32_t a[4];
          GPU_UNROLL
          for (uint32_t r = 0; r < 4; ++r)
            a[r] = fragment_a(a_of(term), product_line, tile * 16, at, r);
          mma_bf16(sums[tile][0], a, b[0]);
          mma_bf16(sums[tile][1], a, b[1]);
        }
      }
    }
  }

  GPU void add_scaled(const product_job& job, uint32_t first_col, uint32_t k,
                      const float (&part)[tiles][2][4],
                      float (&sums)[tiles][2][4]) const {
    auto num_blocks = (num_inputs + scale_block - 1) / scale_block;
    auto num_scales = (num_outputs + scale_block - 1) / scale_block
                      * num_blocks;
    auto by = global<const float>::at(
                reinterpret_cast<const float*>(job.w_scales), num_scales)
                .get(first_col / scale_block * num_blocks + k / scale_block);
    GPU_UNROLL
    for (uint32_t tile = 0; tile < tiles; ++tile) {
      GPU_UNROLL
      for (uint32_t half = 0; half < 2; ++half) {
        auto m = tile * 16 + fragment_row(2 * half);
        float scale = 1;
        if (x_scales.exists() && m < job.count)
          scale = x_scales.row(source_row(job, m)).get(k / scale_block);
        GPU_UNROLL
        for (uint32_t j = 0; j < 2; ++j) {
          GPU_UNROLL
          for (uint32_t i = 2 * half; i < 2 * half + 2; ++i)
            sums[tile][j][i] += part[tile][j][i] * scale * by;
        }
      }
    }
  }

  GPU void store(const product_job& job, uint32_t first_col,
                 const float (&sums)[tiles][2][4]) const {
    GPU_UNROLL
    for (uint32_t tile = 0; tile < tiles; ++tile) {
      GPU_UNROLL
      for (uint32_t j = 0; j < 2; ++j) {
        GPU_UNROLL
        for (uint32_t i = 0; i < 4; ++i) {
          auto m = tile * 16 + fragment_row(i);
          auto n = first_col + warp_index() * 16 + 8 * j + fragment_col(i);
          if (m < job.count && n < num_outputs)
            outs.store(job, m, n, sums[tile][j][i]);
        }
      }
    }
  }
};

/// FP32 weights: no tensor core has them. A thread computes eight rows of one
/// output.
struct plain_product_kernel {
  static constexpr uint32_t num_threads = 128;
  static constexpr const char* name = "plain_product";
  static constexpr uint32_t num_rows = 16;
  static constexpr uint32_t step = 32;

  rows<const float> x;
  list<uint32_t> row;
  list<product_job> jobs;
  uint32_t num_outputs = 0;
  uint32_t num_inputs = 0;
  uint64_t w_row_bytes = 0;
  product_outs outs;

  GPU void run() const {
    STATIC_SHARED(float, a, num_rows* step);
    STATIC_SHARED(float, b, product_cols*(step + 1));
    auto job = jobs.get(block_index().x);
    auto first_col = block_index().y * product_cols;
    rows<const float> w{reinterpret_cast<const float*>(job.w), w_row_bytes,
                        num_outputs, num_inputs};
    float sums[8] = {};
    auto col = thread_index() % product_cols;
    auto first = thread_index() / product_cols * 8;
    for (uint32_t k = 0; k < num_inputs; k += step) {
      for (auto i = thread_index(); i < num_rows * step; i += num_threads) {
        auto m = i / step;
        auto at = k + i % step;
        auto exists = m < job.count && at < num_inputs;
        auto r = exists && row.data ? row.get(job.first + m) : job.first + m;
        a.set(i, exists ? x.row(r).get(job.x_col + at) : 0);
      }
      for (auto i = thread_index(); i < product_cols * step; i += num_threads) {
        auto n = first_col + i / step;
        auto at = k + i % step;
        auto exists = n < num_outputs && at < num_inputs;
        b.set(i / step * (step + 1) + i % step, exists ? w.row(n).get(at) : 0);
      }
      sync_block();
      auto end = num_inputs - k < step ? num_inputs - k : step;
      for (uint32_t at = 0; at < end; ++at) {
        auto y = b.get(col * (step + 1) + at);
        GPU_UNROLL
        for (uint32_t i = 0; i < 8; ++i)
          sums[i] = fmaf(a.get((first + i) * step + at), y, sums[i]);
      }
      sync_block();
    }
    for (uint32_t i = 0; i < 8; ++i)
      if (first + i < job.count && first_col + col < num_outputs)
        outs.store(job, first + i, first_col + col, sums[i]);
  }
};

} // namespace troupe::kernels::cuda
