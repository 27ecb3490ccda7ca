#pragma once

/// Attention over keys of BF16, in both forms. Keys are taken 64 at a time at
/// absolute positions, with a running maximum; a block of threads has 16
/// `tiles` queries, heads of one row (absorbed) or rows of one head
/// (multi-head). Weights of the softmax are two BF16 terms, and so are queries,
/// keys and values of the multi-head form: one alone has too few digits for the
/// bound. The product of two lower terms is left out.

#include "kernels/cuda/copy_kernels.hpp"
#include "kernels/cuda/product_kernels.hpp"

#include <algorithm>

namespace troupe::kernels::cuda {

constexpr uint32_t key_step = latent_cache::block_tokens;

/// Keys that one block of threads goes through.
struct attention_job {
  uint32_t row = 0;       ///< First of its queries.
  uint32_t count = 1;     ///< Rows: one each 16 `tiles` queries, or more.
  uint32_t position = 0;  ///< Of the first row.
  uint32_t first_key = 0; ///< Multiple of 64.
  uint32_t end_key = 0;
  uint32_t blocks_at = 0; ///< Where the sequence's table begins.
  uint32_t part = 0;      ///< Absorbed: which of all partial results.
};

/// A number in two BF16 terms.
struct two_terms {
  eight<uint16_t> high{};
  eight<uint16_t> low{};

  GPU void set(uint32_t i, float x) {
    high.value[i] = to_bf16(x);
    low.value[i] = to_bf16(x - from_bf16(high.value[i]));
  }
};

/// The maximum, the sum and the values of some keys of each query.
struct attention_parts {
  rows<float> values; ///< [parts * heads, latent]
  rows<float> peaks;  ///< [parts * heads, 2]: maximum, sum
};

/// `is_absorbed`: queries are heads of one row, values the first columns of
/// the keys; parts leave. Else queries are rows of one head, with keys and
/// values of their own; results leave.
template <bool is_absorbed, uint32_t tiles, uint32_t value_tiles>
struct attention_kernel {
  static constexpr uint32_t num_threads = 128;
  static constexpr const char* name = "attention";
  static constexpr uint32_t num_queries = 16 * tiles;
  /// Of queries, keys and values: those of the cache are BF16.
  static constexpr uint32_t terms = is_absorbed ? 1 : 2;
  static constexpr uint32_t score_line = key_step + 4;
  static constexpr uint32_t weight_line = key_step + 8;

  rows<const float> q_first; ///< Latent or nope parts.
  rows<const float> q_rope;
  uint32_t q_first_stride = 0; ///< Columns from one head to the next.
  uint32_t q_rope_stride = 0;
  uint32_t q_rope_skip = 0;
  uint32_t first_width = 0; ///< Columns of a key before its rope part.
  uint32_t value_width = 0;
  uint32_t heads = 0;
  uint32_t first_head = 0; ///< Multi-head: that of block 0.
  float scale = 1;
  cache_rows cache;
  list<uint32_t> blocks;
  rows<const float> keys; ///< Multi-head: [heads * num_keys, nope]
  rows<const float> values;
  uint32_t num_keys = 0;
  bool in_pieces = false; ///< Everything begins at multiples of 16 bytes.
  list<attention_job> jobs;
  attention_parts parts; ///< Absorbed.
  rows<float> out;       ///< Multi-head.

  static uint32_t line_of(uint32_t width) {
    return (width + 15) / 16 * 16 + 8;
  }

  static uint32_t shared_bytes_of(uint32_t key_width, uint32_t value_width) {
    auto line = line_of(key_width);
    auto longer = std::max(line, line_of(value_width));
    return terms * 2 * (num_queries * line + key_step * longer)
           + num_queries * score_line * 4 + 2 * num_queries * weight_line * 2
           + 3 * num_queries * 4;
  }

  GPU void run() const {
    auto job = jobs.get(block_index().x);
    place at{*this};
    load_queries(job, at);
    for (auto i = thread_index(); i < num_queries; i += num_threads) {
      at.peak.set(i, minus_infinity());
      at.sum.set(i, 0);
    }
    float sums[tiles][value_tiles][4] = {};
    for (auto key = job.first_key; key < job.end_key; key += key_step) {
      load_keys(job, at, key);
      sync_block();
      score(at);
      sync_block();
      if constexpr (!is_absorbed)
        load_values(job, at, key);
      weigh(job, at, key);
      sync_block();
      add_values(at, sums);
      sync_block();
    }
    store(job, at, sums);
  }

private:
  /// Where things lie in shared memory.
  struct place {
    uint32_t line, value_line;
    shared<uint16_t> q[terms], k[terms];
    shared<uint16_t> v[terms]; ///< Take the keys' place once scores are there.
    shared<uint16_t> high, low;
    shared<float> scores, peak, sum, shrink;

    GPU explicit place(const attention_kernel& op)
      : line((op.first_width + op.cache.rope + 15) / 16 * 16 + 8),
        value_line(is_absorbed ? line : (op.value_width + 15) / 16 * 16 + 8) {
      uint32_t end = 0;
      auto take16 = [&](uint32_t count) {
        auto out = dynamic_shared<uint16_t>(end, count);
        end += count * 2;
        return out;
      };
      auto take32 = [&](uint32_t count) {
        auto out = dynamic_shared<float>(end, count);
        end += count * 4;
        return out;
      };
      auto longer = line > value_line ? line : value_line;
      for (uint32_t i = 0; i < terms; ++i) {
        q[i] = take16(num_queries * line);
        k[i] = v[i] = take16(key_step * longer);
      }
      high = take16(num_queries * weight_line);
      low = take16(num_queries * weight_line);
      scores = take32(num_queries * score_line);
      peak = take32(num_queries);
      sum = take32(num_queries);
      shrink = take32(num_queries);
    }
  };

  GPU uint32_t head_of(uint32_t m) const {
    return is_absorbed ? block_index().y * num_queries + m
                       : first_head + block_index().y;
  }

  GPU bool query_exists(const attention_job& job, uint32_t m) const {
    return is_absorbed ? head_of(m) < heads : m < job.count;
  }

  GPU static uint32_t row_of(const attention_job& job, uint32_t m) {
    return is_absorbed ? job.row : job.row + m;
  }

  GPU static uint32_t position_of(const attention_job& job, uint32_t m) {
    if (is_absorbed)
      return job.position;
    return job.position + (m < job.count ? m : job.count - 1);
  }

  GPU void load_queries(const attention_job& job, const place& at) const {
    for (auto i = thread_index(); i < num_queries * at.line; i += num_threads) {
      auto m = i / at.line;
      auto c = i % at.line;
      float x = 0;
      if (query_exists(job, m) && c < first_width + cache.rope) {
        auto r = row_of(job, m);
        auto h = uint64_t{head_of(m)};
        x = c < first_width ? q_first.row(r).get(h * q_first_stride + c)
                            : q_rope.row(r).get(h * q_rope_stride + q_rope_skip
                                                + c - first_width);
      }
      auto high = to_bf16(x);
      at.q[0].set(i, high);
      if constexpr (terms == 2)
        at.q[1].set(i, to_bf16(x - from_bf16(high)));
    }
  }

  GPU global<const uint16_t> cached(const attention_job& job,
                                    uint32_t key) const {
    auto block = blocks.get(job.blocks_at + key / key_step);
    return cache.template token<const uint16_t>(block, key);
  }

  GPU uint64_t own_row(uint32_t key) const {
    return uint64_t{block_index().y} * num_keys + key;
  }

  /// Eight columns of a key, zeros behind its last one.
  GPU two_terms key_piece(const attention_job& job, uint32_t key,
                          uint32_t c) const {
    auto width = first_width + cache.rope;
    if constexpr (is_absorbed)
      return {load_eight(cached(job, key), c, width, in_pieces), {}};
    auto rope_at = cache.latent - first_width;
    if (in_pieces && c < first_width)
      return in_terms(load_eight(keys.row(own_row(key)), c, first_width, true));
    two_terms out;
    if (in_pieces) {
      out.high = load_eight(cached(job, key), rope_at + c, rope_at + width,
                            true);
      return out;
    }
    for (uint32_t i = 0; i < 8 && c + i < width; ++i) {
      if (c + i < first_width)
        out.set(i, keys.row(own_row(key)).get(c + i));
      else
        out.high.value[i] = cached(job, key).get(rope_at + c + i);
    }
    return out;
  }

  GPU static two_terms in_terms(const eight<float>& x) {
    two_terms out;
    GPU_UNROLL
    for (uint32_t i = 0; i < 8; ++i)
      out.set(i, x.value[i]);
    return out;
  }

  GPU static void store_piece(const shared<uint16_t> (&to)[terms], uint32_t i,
                              const two_terms& x) {
    to[0].set_piece(i, x.high);
    if constexpr (terms == 2)
      to[1].set_piece(i, x.low);
  }

  /// Zeros behind the last key: they are no numbers yet.
  GPU void load_keys(const attention_job& job, const place& at,
                     uint32_t key) const {
    auto pieces = at.line / 8 - 1;
    for (auto i = thread_index(); i < key_step * pieces; i += num_threads) {
      auto j = i / pieces;
      auto c = i % pieces * 8;
      two_terms x;
      if (key + j < job.end_key && c < first_width + cache.rope)
        x = key_piece(job, key + j, c);
      store_piece(at.k, j * at.line + c, x);
    }
  }

  GPU void load_values(const attention_job& job, const place& at,
                       uint32_t key) const {
    auto pieces = at.value_line / 8 - 1;
    for (auto i = thread_index(); i < key_step * pieces; i += num_threads) {
      auto j = i / pieces;
      auto c = i % pieces * 8;
      two_terms x;
      if (key + j < job.end_key && c < value_width)
        x = in_terms(
          load_eight(values.row(own_row(key + j)), c, value_width, in_pieces));
      store_piece(at.v, j * at.value_line + c, x);
    }
  }

  /// A warp has 16 keys.
  GPU void score(const place& at) const {
    float sums[tiles][2][4] = {};
    for (uint32_t k = 0; k + 8 < at.line; k += 16) {
      uint32_t b[terms][2][2];
      GPU_UNROLL
      for (uint32_t term = 0; term < terms; ++term) {
        GPU_UNROLL
        for (uint32_t i = 0; i < 4; ++i)
          b[term][i / 2][i % 2] = fragment_b(
            at.k[term], at.line, warp_index() * 16 + 8 * (i / 2), k, i % 2);
      }
      GPU_UNROLL
      for (uint32_t tile = 0; tile < tiles; ++tile) {
        uint32_t a[terms][4];
        GPU_UNROLL
        for (uint32_t i = 0; i < 4 * terms; ++i)
          a[i / 4][i % 4] = fragment_a(at.q[i / 4], at.line, tile * 16, k,
                                       i % 4);
        GPU_UNROLL
        for (uint32_t j = 0; j < 2; ++j) {
          mma_bf16(sums[tile][j], a[0], b[0][j]);
          if constexpr (terms == 2) {
            mma_bf16(sums[tile][j], a[1], b[0][j]);
            mma_bf16(sums[tile][j], a[0], b[1][j]);
          }
        }
      }
    }
    GPU_UNROLL
    for (uint32_t tile = 0; tile < tiles; ++tile) {
      GPU_UNROLL
      for (uint32_t j = 0; j < 2; ++j) {
        GPU_UNROLL
        for (uint32_t i = 0; i < 4; ++i)
          at.scores.set((tile * 16 + fragment_row(i)) * score_line
                          + warp_index() * 16 + 8 * j + fragment_col(i),
                        sums[tile][j][i] * scale);
      }
    }
  }

  /// A warp has every fourth query, a lane two keys of each.
  GPU void weigh(const attention_job& job, const place& at,
                 uint32_t key) const {
    for (auto m = warp_index(); m < num_queries; m += num_threads / 32) {
      auto last = position_of(job, m);
      float x[2];
      for (uint32_t j = 0; j < 2; ++j) {
        auto i = lane_index() + 32 * j;
        auto is_seen = key + i <= last && key + i < job.end_key;
        x[j] = is_seen ? at.scores.get(m * score_line + i) : minus_infinity();
      }
      auto old = at.peak.get(m);
      auto peak = max_of_warp(x[0] > x[1] ? x[0] : x[1]);
      peak = peak > old ? peak : old;
      float total = 0;
      for (uint32_t j = 0; j < 2; ++j) {
        auto p = expf(x[j] - peak);
        auto high = to_bf16(p);
        auto i = m * weight_line + lane_index() + 32 * j;
        at.high.set(i, high);
        at.low.set(i, to_bf16(p - from_bf16(high)));
        total += p;
      }
      total = sum_of_warp(total);
      auto shrink = expf(old - peak);
      sync_warp();
      if (lane_index() == 0) {
        at.peak.set(m, peak);
        at.sum.set(m, at.sum.get(m) * shrink + total);
        at.shrink.set(m, shrink);
      }
    }
  }

  /// Columns of values are dealt to warps, eight at a time.
  GPU void add_values(const place& at,
                      float (&sums)[tiles][value_tiles][4]) const {
    GPU_UNROLL
    for (uint32_t tile = 0; tile < tiles; ++tile) {
      GPU_UNROLL
      for (uint32_t i = 0; i < 4; ++i) {
        auto shrink = at.shrink.get(tile * 16 + fragment_row(i));
        GPU_UNROLL
        for (uint32_t t = 0; t < value_tiles; ++t)
          sums[tile][t][i] *= shrink;
      }
    }
    for (uint32_t k = 0; k < key_step; k += 16) {
      uint32_t a[tiles][2][4];
      GPU_UNROLL
      for (uint32_t tile = 0; tile < tiles; ++tile) {
        GPU_UNROLL
        for (uint32_t r = 0; r < 4; ++r) {
          a[tile][0][r] = fragment_a(at.high, weight_line, tile * 16, k, r);
          a[tile][1][r] = fragment_a(at.low, weight_line, tile * 16, k, r);
        }
      }
      GPU_UNROLL
      for (uint32_t t = 0; t < value_tiles; ++t) {
        auto first = (t * 4 + warp_index()) * 8;
        if (first >= value_width)
          continue;
        uint32_t b[terms][2];
        GPU_UNROLL
        for (uint32_t i = 0; i < 2 * terms; ++i) {
          auto j = k + lane_index() % 4 * 2 + 8 * (i % 2);
          auto c = first + lane_index() / 4;
          auto& v = at.v[i / 2];
          b[i / 2][i % 2] = v.get(j * at.value_line + c)
                            | uint32_t{v.get((j + 1) * at.value_line + c)}
                                << 16;
        }
        GPU_UNROLL
        for (uint32_t tile = 0; tile < tiles; ++tile) {
          mma_bf16(sums[tile][t], a[tile][0], b[0]);
          mma_bf16(sums[tile][t], a[tile][1], b[0]);
          if constexpr (terms == 2)
            mma_bf16(sums[tile][t], a[tile][0], b[1]);
        }
      }
    }
  }

  GPU void store(const attention_job& job, const place& at,
                 const float (&sums)[tiles][value_tiles][4]) const {
    GPU_UNROLL
    for (uint32_t tile = 0; tile < tiles; ++tile) {
      GPU_UNROLL
      for (uint32_t i = 0; i < 4; ++i) {
        auto m = tile * 16 + fragment_row(i);
        if (!query_exists(job, m))
          continue;
        auto h = uint64_t{head_of(m)};
        auto part = uint64_t{job.part} * heads + h;
        if (is_absorbed && warp_index() == 0 && fragment_col(i) == 0) {
          parts.peaks.row(part).set(0, at.peak.get(m));
          parts.peaks.row(part).set(1, at.sum.get(m));
        }
        GPU_UNROLL
        for (uint32_t t = 0; t < value_tiles; ++t) {
          auto c = (t * 4 + warp_index()) * 8 + fragment_col(i);
          if (c >= value_width)
            continue;
          if (is_absorbed)
            parts.values.row(part).set(c, sums[tile][t][i]);
          else
            out.row(row_of(job, m))
              .set(h * value_width + c, sums[tile][t][i] / at.sum.get(m));
        }
      }
    }
  }
};

/// Where the parts of one row lie.
struct parts_of_row {
  uint32_t first = 0;
  uint32_t count = 0;
};

/// Joins the parts of a row and head, keys ascending.
struct join_kernel {
  static constexpr uint32_t num_threads = 128;
  static constexpr const char* name = "join_parts";

  attention_parts parts;
  list<parts_of_row> places;
  uint32_t heads = 0;
  rows<float> out;

  GPU void run() const {
    auto t = block_index().x;
    auto h = block_index().y;
    auto place = places.get(t);
    auto width = parts.values.num_cols;
    auto part = [&](uint32_t i) {
      return uint64_t{place.first + i} * heads + h;
    };
    for (auto c = thread_index(); c < width; c += num_threads) {
      auto peak = minus_infinity();
      float sum = 0, value = 0;
      for (uint32_t i = 0; i < place.count; ++i) {
        auto its = parts.peaks.row(part(i));
        auto next = its.get(0) > peak ? its.get(0) : peak;
        auto shrink = expf(peak - next);
        auto by = expf(its.get(0) - next);
        sum = sum * shrink + its.get(1) * by;
        value = value * shrink + parts.values.row(part(i)).get(c) * by;
        peak = next;
      }
      out.row(t).set(uint64_t{h} * width + c, value / sum);
    }
  }
};

} // namespace troupe::kernels::cuda
