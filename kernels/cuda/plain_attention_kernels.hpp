#pragma once

/// Attention over keys of FP32, and what the multi-head form needs before it.

#include "kernels/cuda/attention_kernels.hpp"

namespace troupe::kernels::cuda {

/// One row and head by a block of threads. A key is
/// [first_width columns | rope]: columns of the cache (absorbed) or a row of
/// `keys` and the cache's rope part.
struct plain_attention_kernel {
  static constexpr uint32_t num_threads = 128;
  static constexpr const char* name = "plain_attention";

  rows<const float> q_first;
  rows<const float> q_rope;
  uint32_t q_first_stride = 0;
  uint32_t q_rope_stride = 0;
  uint32_t q_rope_skip = 0;
  uint32_t first_width = 0;
  uint32_t value_width = 0;
  uint32_t first_head = 0;
  float scale = 1;
  cache_rows cache;
  list<uint32_t> blocks;
  rows<const float> keys; ///< Or none: absorbed.
  rows<const float> values;
  uint32_t num_keys = 0;
  list<attention_job> jobs;
  rows<float> out;

  static uint32_t shared_bytes_of(uint32_t key_width, uint32_t value_width) {
    return (key_width + value_width + key_step) * 4;
  }

  GPU void run() const {
    STATIC_SHARED(float, state, 2); // shrink, sum
    auto job = jobs.get(block_index().x);
    auto h = first_head + block_index().y;
    auto width = first_width + cache.rope;
    auto q = dynamic_shared<float>(0, width);
    auto sums = dynamic_shared<float>(width * 4, value_width);
    auto scores = dynamic_shared<float>((width + value_width) * 4, key_step);
    for (auto c = thread_index(); c < width; c += num_threads)
      q.set(c, query(job, h, c));
    for (auto c = thread_index(); c < value_width; c += num_threads)
      sums.set(c, 0);
    auto peak = minus_infinity();
    float total = 0;
    for (uint32_t key = 0; key <= job.position; key += key_step) {
      sync_block();
      score(job, key, q, scores);
      sync_block();
      if (warp_index() == 0)
        weigh(job, key, scores, state, peak, total);
      sync_block();
      add_values(job, key, scores, state.get(0), sums);
    }
    sync_block();
    for (auto c = thread_index(); c < value_width; c += num_threads)
      out.row(job.row).set(uint64_t{h} * value_width + c,
                           sums.get(c) / state.get(1));
  }

private:
  GPU float query(const attention_job& job, uint64_t h, uint32_t c) const {
    if (c < first_width)
      return q_first.row(job.row).get(h * q_first_stride + c);
    return q_rope.row(job.row).get(h * q_rope_stride + q_rope_skip + c
                                   - first_width);
  }

  GPU uint32_t keys_from(const attention_job& job, uint32_t key) const {
    auto left = job.position + 1 - key;
    return left < key_step ? left : key_step;
  }

  GPU global<const float> cached(const attention_job& job, uint32_t key) const {
    auto block = blocks.get(job.blocks_at + key / key_step);
    return cache.token<const float>(block, key);
  }

  GPU uint64_t own_row(uint32_t key) const {
    return uint64_t{block_index().y} * num_keys + key;
  }

  /// A warp has every fourth key, lanes its columns.
  GPU void score(const attention_job& job, uint32_t key, const shared<float>& q,
                 const shared<float>& scores) const {
    for (auto j = warp_index(); j < keys_from(job, key); j += 4) {
      auto token = cached(job, key + j);
      float sum = 0;
      for (auto c = lane_index(); c < first_width; c += 32) {
        auto k = keys.exists() ? keys.row(own_row(key + j)).get(c)
                               : token.get(c);
        sum = fmaf(q.get(c), k, sum);
      }
      for (auto c = lane_index(); c < cache.rope; c += 32)
        sum = fmaf(q.get(first_width + c), token.get(cache.latent + c), sum);
      sum = sum_of_warp(sum);
      if (lane_index() == 0)
        scores.set(j, sum * scale);
    }
  }

  GPU void weigh(const attention_job& job, uint32_t key,
                 const shared<float>& scores, const shared<float>& state,
                 float& peak, float& total) const {
    float x[2];
    for (uint32_t j = 0; j < 2; ++j) {
      auto i = lane_index() + 32 * j;
      x[j] = i < keys_from(job, key) ? scores.get(i) : minus_infinity();
    }
    auto old = peak;
    auto highest = max_of_warp(x[0] > x[1] ? x[0] : x[1]);
    peak = highest > old ? highest : old;
    float sum = 0;
    for (uint32_t j = 0; j < 2; ++j) {
      auto p = expf(x[j] - peak);
      scores.set(lane_index() + 32 * j, p);
      sum += p;
    }
    auto shrink = expf(old - peak);
    total = total * shrink + sum_of_warp(sum);
    if (lane_index() == 0) {
      state.set(0, shrink);
      state.set(1, total);
    }
  }

  GPU void add_values(const attention_job& job, uint32_t key,
                      const shared<float>& scores, float shrink,
                      const shared<float>& sums) const {
    for (auto c = thread_index(); c < value_width; c += num_threads) {
      auto sum = sums.get(c) * shrink;
      for (uint32_t j = 0; j < keys_from(job, key); ++j) {
        auto v = keys.exists() ? values.row(own_row(key + j)).get(c)
                               : cached(job, key + j).get(c);
        sum = fmaf(scores.get(j), v, sum);
      }
      sums.set(c, sum);
    }
  }
};

/// The latent parts of a sequence's tokens, one after the other.
template <class T>
struct collect_kernel {
  static constexpr uint32_t num_threads = 128;
  static constexpr const char* name = "collect_latents";

  cache_rows cache;
  list<uint32_t> blocks;
  uint32_t blocks_at = 0;
  rows<T> out;

  GPU void run() const {
    auto key = block_index().x;
    auto block = blocks.get(blocks_at + key / key_step);
    auto from = cache.template token<const T>(block, key);
    for (auto c = thread_index(); c < cache.latent; c += num_threads)
      out.row(key).set(c, from.get(c));
  }
};

/// out[g][c][r] = in[g][r][c], 32 x 32 at a time.
template <class T>
struct transpose_kernel {
  static constexpr uint32_t num_threads = 256;
  static constexpr const char* name = "transpose";

  rows<const T> in; ///< All matrices below each other.
  rows<T> out;
  uint32_t height = 0; ///< Rows of one matrix of `in`.

  GPU void run() const {
    STATIC_SHARED(T, tile, 32 * 33);
    auto g = uint64_t{block_index().z};
    auto width = in.num_cols;
    auto r0 = block_index().y * 32;
    auto c0 = block_index().x * 32;
    for (auto i = warp_index(); i < 32; i += 8)
      if (r0 + i < height && c0 + lane_index() < width)
        tile.set(i * 33 + lane_index(),
                 in.row(g * height + r0 + i).get(c0 + lane_index()));
    sync_block();
    for (auto i = warp_index(); i < 32; i += 8)
      if (c0 + i < width && r0 + lane_index() < height)
        out.row(g * width + c0 + i)
          .set(r0 + lane_index(), tile.get(lane_index() * 33 + i));
  }
};

} // namespace troupe::kernels::cuda
