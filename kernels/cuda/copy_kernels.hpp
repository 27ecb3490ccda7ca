#pragma once

/// Rows that move, and the latent cache that they are appended to.

#include "kernels/cuda/row_kernels.hpp"

namespace troupe::kernels::cuda {

/// Bytes of chosen rows to rows one after the other, zeros behind them.
struct gather_kernel {
  static constexpr uint32_t num_threads = 128;
  static constexpr const char* name = "gather";

  rows<const uint8_t> src; ///< Columns are bytes.
  list<uint32_t> idx;
  rows<uint8_t> dst;
  uint32_t first = 0;     ///< Where in a row of dst the bytes begin.
  uint32_t end = 0;       ///< Zeros from first + src.num_cols on to here.
  bool in_pieces = false; ///< Everything is a multiple of 16.

  GPU void run() const {
    auto i = block_index().x;
    auto from = src.row(idx.get(i));
    auto to = dst.row(i);
    auto count = src.num_cols;
    if (in_pieces) {
      for (auto b = thread_index() * 16; b < count; b += num_threads * 16)
        to.set_piece(first + b, from.template get_piece<bytes16>(b));
    } else {
      for (auto b = thread_index(); b < count; b += num_threads)
        to.set(first + b, from.get(b));
    }
    for (auto b = first + count + thread_index(); b < end; b += num_threads)
      to.set(b, 0);
  }
};

struct embed_kernel {
  static constexpr uint32_t num_threads = 128;
  static constexpr const char* name = "embed";

  list<int32_t> ids;
  rows<const float> wide; ///< One of the two exists.
  rows<const uint16_t> half;
  rows<float> out;

  GPU void run() const {
    auto t = block_index().x;
    auto id = uint32_t(ids.get(t));
    for (auto c = thread_index(); c < out.num_cols; c += num_threads)
      out.row(t).set(c, wide.exists() ? wide.row(id).get(c)
                                      : from_bf16(half.row(id).get(c)));
  }
};

/// What a token is in the cache, by position.
struct cache_rows {
  uint64_t address = 0;
  uint64_t block_stride = 0;
  dtype type = dtype::bf16;
  uint32_t latent = 0;
  uint32_t rope = 0;

  static cache_rows of(const latent_cache& c) {
    return {c.mem.offset, c.block_stride, c.type, c.latent, c.rope};
  }

  /// T is the C++ type of `type`, const or not.
  template <class T>
  GPU global<T> token(uint32_t block, uint32_t position) const {
    auto width = latent + rope;
    auto at = address + block * block_stride
              + uint64_t{position % latent_cache::block_tokens} * width
                  * sizeof(T);
    return global<T>::at(reinterpret_cast<T*>(at), width);
  }
};

/// Where one row of a batch stands.
struct row_place {
  uint32_t position = 0;
  uint32_t block = 0;
};

struct append_kernel {
  static constexpr uint32_t num_threads = 128;
  static constexpr const char* name = "append";

  rows<const float> kv;
  rows<const float> weight;
  float eps = 0;
  rows<const float> cos_sin;
  cache_rows cache;
  list<row_place> places;

  GPU void run() const {
    auto t = block_index().x;
    auto x = kv.row(t);
    auto place = places.get(t);
    auto latent = cache.latent;
    double sum = 0;
    for (auto c = thread_index(); c < latent; c += num_threads)
      sum += double{x.get(c)} * x.get(c);
    sum = sum_of_block<4>(sum);
    auto inverse = float(1 / sqrt(sum / latent + double{eps}));
    for (auto c = thread_index(); c < latent; c += num_threads)
      store(place, c, x.get(c) * inverse * weight.row(0).get(c));
    auto by = cos_sin.row(place.position);
    for (auto i = 2 * thread_index(); i < cache.rope; i += 2 * num_threads) {
      auto a = x.get(latent + i);
      auto b = x.get(latent + i + 1);
      auto cos = by.get(i);
      auto sin = by.get(i + 1);
      store(place, latent + i, a * cos - b * sin);
      store(place, latent + i + 1, a * sin + b * cos);
    }
  }

private:
  GPU void store(const row_place& at, uint32_t c, float x) const {
    if (cache.type == dtype::f32)
      cache.token<float>(at.block, at.position).set(c, x);
    else
      cache.token<uint16_t>(at.block, at.position).set(c, to_bf16(x));
  }
};

struct rotate_kernel {
  static constexpr uint32_t num_threads = 128;
  static constexpr const char* name = "rotate";

  rows<float> x;
  uint32_t heads = 0;
  uint32_t head_stride = 0;
  uint32_t skip = 0;
  rows<const float> cos_sin;
  list<row_place> places;

  GPU void run() const {
    auto t = block_index().x;
    auto row = x.row(t);
    auto by = cos_sin.row(places.get(t).position);
    auto pairs = cos_sin.num_cols / 2;
    for (auto i = thread_index(); i < heads * pairs; i += num_threads) {
      auto pair = i % pairs * 2;
      auto c = uint64_t{i / pairs} * head_stride + skip + pair;
      auto a = row.get(c);
      auto b = row.get(c + 1);
      auto cos = by.get(pair);
      auto sin = by.get(pair + 1);
      row.set(c, a * cos - b * sin);
      row.set(c + 1, a * sin + b * cos);
    }
  }
};

} // namespace troupe::kernels::cuda
