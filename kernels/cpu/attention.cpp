// Attention as two products per block of 64 keys: a row of q for each token
// and head times the keys, and the softmax weights times the latents. A block
// is turned into panels once for all rows of a piece, so the inner loops are
// those of any product, and a row's bits do not depend on its neighbours.

#include "kernels/cpu/operations.hpp"
#include "kernels/host/host_memory.hpp"

#include <cstring>
#include <limits>

namespace troupe::kernels::cpu {

namespace {

constexpr uint32_t num_keys = latent_cache::block_tokens;
constexpr uint32_t max_piece_rows = 48;
constexpr uint32_t word = 4;

/// Sizes and formats that all pieces share.
struct geometry {
  geometry(const kernel_set& kernels, const latent_cache& cache)
    : bf16(cache.type == dtype::bf16), pairs(bf16 && kernels.pairs),
      latent(cache.latent), width(cache.latent + cache.rope),
      steps(bf16 ? (width + 1) / 2 : width),
      key_steps(bf16 ? num_keys / 2 : num_keys),
      panels((latent + panel_rows - 1) / panel_rows),
      row_values(std::max(panels * panel_rows, width + width % 2)) {
  }

  bool bf16;
  bool pairs;
  uint32_t latent;
  uint32_t width;      ///< Values of a token.
  uint32_t steps;      ///< Of q times keys.
  uint32_t key_steps;  ///< Of weights times latents.
  uint32_t panels;     ///< Of latents.
  uint32_t row_values; ///< Of a token with padding.
};

/// Rows [first_row, first_row + num_rows) of a sequence, some heads.
struct piece {
  const sequence_rows* sequence = nullptr;
  uint32_t first_row = 0; ///< In the sequence.
  uint32_t num_rows = 0;
  uint32_t first_head = 0;
  uint32_t num_heads = 0;
};

/// Sixty-four keys as panels.
class key_block {
public:
  explicit key_block(const geometry& g)
    : g_(g), row_bytes_(g.row_values * (g.bf16 ? 2u : 4u)),
      rows_(make_aligned(uint64_t{num_keys + 1} * row_bytes_)),
      keys_(make_aligned(uint64_t{2} * g.steps * panel_rows * word)),
      latents_(
        make_aligned(uint64_t{g.panels} * g.key_steps * panel_rows * word)) {
    std::memset(rows_.get(), 0, uint64_t{num_keys + 1} * row_bytes_);
  }

  /// Loads the first `count` tokens at `src`; others become zeros.
  void load(const kernel_set& kernels, const std::byte* src, uint32_t count) {
    const std::byte* rows[num_keys];
    auto token_bytes = g_.width * (g_.bf16 ? 2u : 4u);
    for (uint32_t j = 0; j < num_keys; ++j) {
      rows[j] = zeros();
      if (j >= count)
        continue;
      rows[j] = src + j * token_bytes;
      if (token_bytes != row_bytes_ || g_.latent % panel_rows != 0) {
        auto copy = rows_.get() + j * row_bytes_;
        std::memcpy(copy, rows[j], token_bytes);
        rows[j] = copy;
      }
    }
    for (uint32_t half = 0; half < 2; ++half)
      kernels.transpose(rows + half * panel_rows, g_.steps,
                        reinterpret_cast<uint32_t*>(keys_.get())
                          + half * g_.steps * panel_rows);
    load_latents(kernels, rows);
  }

  const std::byte* keys(uint32_t half) const {
    return keys_.get() + uint64_t{half} * g_.steps * panel_rows * word;
  }

  const std::byte* latents(uint32_t panel) const {
    return latents_.get() + uint64_t{panel} * g_.key_steps * panel_rows * word;
  }

private:
  const std::byte* zeros() const {
    return rows_.get() + uint64_t{num_keys} * row_bytes_;
  }

  void load_latents(const kernel_set& kernels, const std::byte* const* rows) {
    auto out = latents_.get();
    for (uint32_t p = 0; p < g_.panels; ++p)
      for (uint32_t i = 0; i < g_.key_steps; ++i, out += panel_rows * word) {
        auto first = p * panel_rows;
        if (g_.bf16)
          kernels.interleave(
            reinterpret_cast<const uint16_t*>(rows[2 * i]) + first,
            reinterpret_cast<const uint16_t*>(rows[2 * i + 1]) + first,
            reinterpret_cast<uint16_t*>(out));
        else
          std::memcpy(out, rows[i] + first * word, panel_rows * word);
      }
  }

  const geometry& g_;
  uint32_t row_bytes_;
  aligned_bytes rows_;
  aligned_bytes keys_;
  aligned_bytes latents_;
};

/// Up to 12 rows of a piece with their running sums.
class row_tile {
public:
  row_tile(const geometry& g, uint32_t rows)
    : g_(g), rows_(rows), q_(make_aligned(uint64_t{g.steps} * 2 * rows * word)),
      weights_(make_aligned(uint64_t{num_keys} * rows * word)),
      acc_(make_aligned(uint64_t{g.panels} * rows * panel_rows * word)) {
    // An odd width has a last pair with one member.
    std::memset(q_.get(), 0, uint64_t{g.steps} * 2 * rows * word);
    std::memset(acc_.get(), 0, uint64_t{g.panels} * rows * panel_rows * word);
    std::fill_n(max_, rows, -std::numeric_limits<float>::infinity());
    std::fill_n(sum_, rows, 0.0f);
  }

  uint32_t rows() const {
    return rows_;
  }

  /// `row` has `width` values.
  void set_q(const kernel_set& kernels, uint32_t r, const float* row) {
    put(kernels, row, g_.width, r, g_.pairs, q_.get());
  }

  /// Adds a block of which row r sees the first seen[r] keys.
  void add(const kernel_set& kernels, const key_block& block,
           const uint32_t* seen, float scale) {
    alignas(64) float halves[2][max_tile_rows * panel_rows];
    for (uint32_t half = 0; half < 2; ++half) {
      std::memset(halves[half], 0, sizeof(halves[half]));
      multiply(q_tiles(kernels), q_.get(), block.keys(half), g_.steps,
               halves[half]);
    }
    for (uint32_t r = 0; r < rows_; ++r) {
      float scores[num_keys];
      std::memcpy(scores, halves[0] + r * panel_rows, panel_rows * word);
      std::memcpy(scores + panel_rows, halves[1] + r * panel_rows,
                  panel_rows * word);
      soften(kernels, r, seen[r], scale, scores);
    }
    for (uint32_t p = 0; p < g_.panels; ++p)
      multiply(weight_tiles(kernels), weights_.get(), block.latents(p),
               g_.key_steps, acc(p, 0));
  }

  /// Writes row `r` of the result, `latent` values.
  void store(const kernel_set& kernels, uint32_t r, float* out) {
    auto by = 1 / sum_[r];
    for (uint32_t p = 0; p < g_.panels; ++p) {
      auto first = p * panel_rows;
      kernels.multiply(acc(p, r), panel_rows, by);
      std::memcpy(out + first, acc(p, r),
                  std::min(panel_rows, g_.latent - first) * word);
    }
  }

private:
  float* acc(uint32_t panel, uint32_t r) {
    return reinterpret_cast<float*>(acc_.get())
           + (uint64_t{panel} * rows_ + r) * panel_rows;
  }

  const tile_fns& q_tiles(const kernel_set& kernels) const {
    return g_.pairs ? kernels.pair_tiles : weight_tiles(kernels);
  }

  /// Weights stay FP32: rounded to bf16 they alone would cost the bound.
  const tile_fns& weight_tiles(const kernel_set& kernels) const {
    return g_.bf16 ? kernels.bf16_tiles : kernels.f32_tiles;
  }

  void multiply(const tile_fns& fns, const std::byte* a, const std::byte* w,
                uint32_t steps, float* acc) const {
    tile_args args;
    args.a = a;
    args.w = w;
    args.steps = steps;
    args.acc = acc;
    fns[rows_](args);
  }

  void soften(const kernel_set& kernels, uint32_t r, uint32_t seen, float scale,
              float* scores) {
    if (seen == 0) {
      std::fill_n(scores, num_keys, 0.0f);
    } else {
      auto first = sum_[r] == 0;
      auto keep = kernels.soften({scores, seen, scale, max_ + r, sum_ + r});
      if (!first && keep != 1)
        for (uint32_t p = 0; p < g_.panels; ++p)
          kernels.multiply(acc(p, r), panel_rows, keep);
    }
    put(kernels, scores, num_keys, r, false, weights_.get());
  }

  /// Puts a row of an operand into its tile, as FP32 or as pairs of bf16.
  void put(const kernel_set& kernels, const float* x, uint32_t count,
           uint32_t r, bool pairs, std::byte* tile) const {
    constexpr uint32_t chunk = 256;
    auto per_word = pairs ? 2u : 1u;
    for (uint32_t first = 0; first < count; first += chunk) {
      alignas(64) std::byte words[chunk * word] = {};
      auto n = std::min(chunk, count - first);
      if (pairs)
        kernels.to_bf16(x + first, n, reinterpret_cast<uint16_t*>(words));
      else
        std::memcpy(words, x + first, n * word);
      auto out = tile + (uint64_t{first / per_word} * rows_ + r) * word;
      auto num_words = (n + per_word - 1) / per_word;
      for (uint32_t i = 0; i < num_words; ++i)
        std::memcpy(out + uint64_t{i} * rows_ * word, words + i * word, word);
    }
  }

  const geometry& g_;
  uint32_t rows_;
  aligned_bytes q_;
  aligned_bytes weights_;
  aligned_bytes acc_; ///< [panels][rows][32]
  float max_[max_tile_rows];
  float sum_[max_tile_rows];
};

class piece_run {
public:
  piece_run(const kernel_set& kernels, const geometry& g,
            const mla_attention& op, const piece& p)
    : kernels_(kernels), g_(g), op_(op), p_(p) {
    auto total = p.num_rows * p.num_heads;
    auto num_tiles = (total + kernels.tile_rows - 1) / kernels.tile_rows;
    for (uint32_t i = 0; i < num_tiles; ++i)
      tiles_.emplace_back(g,
                          total * (i + 1) / num_tiles - total * i / num_tiles);
    load_q();
  }

  void run() {
    auto& s = *p_.sequence;
    auto end = s.first_position + p_.first_row + p_.num_rows;
    key_block block(g_);
    for (uint32_t first = 0; first < end; first += num_keys) {
      auto id = (*s.blocks)[first / num_keys];
      auto src = host::address_of(op_.cache.mem) + id * op_.cache.block_stride;
      block.load(kernels_, src, std::min(num_keys, end - first));
      add_block(block, first);
    }
    store();
  }

private:
  /// Calls fn(tile, row of the tile, row of the batch, its number in the
  /// piece, head).
  template <class Fn>
  void for_each_row(const Fn& fn) {
    uint32_t i = 0;
    for (auto& tile : tiles_)
      for (uint32_t r = 0; r < tile.rows(); ++r, ++i) {
        auto row = i / p_.num_heads;
        fn(tile, r, p_.sequence->first_row + p_.first_row + row, row,
           p_.first_head + i % p_.num_heads);
      }
  }

  void load_q() {
    std::vector<float> q(g_.width + 1);
    auto rope = g_.width - g_.latent;
    for_each_row(
      [&](row_tile& tile, uint32_t r, uint32_t t, uint32_t, uint32_t h) {
        auto latent = host::row<float>(op_.q_latent, t) + h * g_.latent;
        auto rotated = host::row<float>(op_.q, t) + h * op_.q_stride
                       + op_.q_rope_skip;
        std::copy_n(latent, g_.latent, q.data());
        std::copy_n(rotated, rope, q.data() + g_.latent);
        if (g_.bf16 && !g_.pairs)
          round(q);
        tile.set_q(kernels_, r, q.data());
      });
  }

  void round(std::vector<float>& x) const {
    std::vector<uint16_t> rounded(x.size());
    kernels_.to_bf16(x.data(), uint32_t(x.size()), rounded.data());
    kernels_.from_bf16(rounded.data(), uint32_t(x.size()), x.data());
  }

  void add_block(const key_block& block, uint32_t first) {
    uint32_t seen[max_tile_rows];
    auto position = p_.sequence->first_position + p_.first_row;
    for_each_row(
      [&](row_tile& tile, uint32_t r, uint32_t, uint32_t row, uint32_t) {
        auto end = position + row + 1;
        seen[r] = end > first ? std::min(num_keys, end - first) : 0;
        if (r + 1 == tile.rows())
          tile.add(kernels_, block, seen, op_.scale);
      });
  }

  void store() {
    for_each_row(
      [&](row_tile& tile, uint32_t r, uint32_t t, uint32_t, uint32_t h) {
        tile.store(kernels_, r, host::row<float>(op_.out, t) + h * g_.latent);
      });
  }

  const kernel_set& kernels_;
  const geometry& g_;
  const mla_attention& op_;
  const piece& p_;
  std::vector<row_tile> tiles_;
};

/// Rows of a piece: enough to pay for loading keys, few enough that a small
/// batch makes several pieces.
uint32_t rows_of_piece(uint64_t total) {
  if (total >= 8 * max_piece_rows)
    return max_piece_rows;
  return total >= 96 ? max_piece_rows / 2 : 8;
}

std::vector<piece> cut(const mla_attention& op) {
  std::vector<piece> out;
  auto most = rows_of_piece(uint64_t{op.out.rows} * op.heads);
  auto heads = std::min(op.heads, most);
  auto rows = std::max(1u, most / heads);
  for (auto& s : op.sequences)
    for (uint32_t r = 0; r < s.num_rows; r += rows)
      for (uint32_t h = 0; h < op.heads; h += heads)
        out.push_back({&s, r, std::min(rows, s.num_rows - r), h,
                       std::min(heads, op.heads - h)});
  return out;
}

} // namespace

void run(context& ctx, const mla_attention& op) {
  geometry g(ctx.kernels, op.cache);
  auto pieces = cut(op);
  auto run_piece = [&](uint32_t i) {
    piece_run(ctx.kernels, g, op, pieces[i]).run();
  };
  auto ns = cost_of(op).flops / 128;
  if (ns >= min_parallel_ns)
    return ctx.pool->parallel_for(uint32_t(pieces.size()), run_piece);
  for (uint32_t i = 0; i < pieces.size(); ++i)
    run_piece(i);
}

} // namespace troupe::kernels::cpu
