// Absorbed attention: all heads of a token share the keys, so a tile is up to
// eight pairs of a token and a head. For each split of 256 keys it multiplies
// q by the keys where they lie, softens, and multiplies the weights by the same
// rows; then the sums of the splits are merged in order. With few tiles tasks
// are splits, with many they are tiles: the merging, and so the bits, are the
// same.

#include "kernels/cpu/key_blocks.hpp"
#include "kernels/cpu/operations.hpp"

#include <algorithm>
#include <limits>
#include <span>

namespace troupe::kernels::cpu {

namespace {

/// From so many tiles on, tiles alone keep the threads busy.
constexpr uint32_t many_tiles = 32;

/// Up to so many times a tile passes over a split, tiles are halved, so that
/// there is something for every thread.
constexpr uint32_t few_passes = 4;

/// Tiles that pass over a split together, so that it is read once.
constexpr uint32_t max_tiles = 6;

uint32_t num_splits(uint32_t keys) {
  return (keys + split_keys - 1) / split_keys;
}

/// Pairs of a token and a head, token by token: [first, first + count).
struct tile {
  const sequence_rows* sequence = nullptr;
  uint32_t first = 0;
  uint32_t count = 0;
};

/// What some keys contribute to the rows of a tile.
struct tile_sums {
  float max[max_attention_rows];
  float sum[max_attention_rows];
  float* acc = nullptr; ///< [rows][cols]
};

class tile_run {
public:
  tile_run(const kernel_set& kernels, const mla_attention& op, const tile& t)
    : kernels_(kernels), op_(op), t_(t), is_bf16_(op.cache.type == dtype::bf16),
      width_(padded(op.cache.latent + op.cache.rope)),
      pairs_(is_bf16_ && kernels.pairs), cols_(padded(op.cache.latent)),
      q_(make_aligned(uint64_t{t.count} * width_ * sizeof(float))) {
  }

  /// Comes first.
  void load_q() {
    row_buffers buffers{width_};
    for (uint32_t r = 0; r < t_.count; ++r)
      load_q(r, buffers);
  }

  /// About how long a split takes a thread.
  uint64_t split_ns() const {
    auto keys = std::min(split_keys, num_keys());
    return uint64_t{t_.count} * keys * (width_ + cols_) / 64;
  }

  /// Keys that the last row sees.
  uint32_t num_keys() const {
    return t_.sequence->first_position + token(t_.count - 1) + 1;
  }

  /// The sums over split `split`, of which at least the last row sees a key.
  void add_split(key_blocks& blocks, uint32_t split, tile_sums& out) {
    auto first = split * split_keys;
    auto count = std::min(split_keys, num_keys() - first);
    alignas(64) float scores[max_attention_rows * split_keys];
    std::memset(out.acc, 0, uint64_t{t_.count} * cols_ * sizeof(float));
    for_each_block(count, [&](uint32_t skip, uint32_t n) {
      auto next = next_lines(blocks, first, skip, split_keys / 2);
      auto following = skip + n < count ? blocks.where(first + skip + n)
                                        : nullptr;
      multiply_keys(blocks.load(first + skip, n), n, following, next,
                    scores + skip);
    });
    for (uint32_t r = 0; r < t_.count; ++r)
      soften(r, first, count, scores + r * split_keys, out);
    for_each_block(count, [&](uint32_t skip, uint32_t n) {
      auto next = next_lines(blocks, first, skip, 0);
      add_values(blocks.load(first + skip, n), n, next, scores + skip, out);
    });
  }

  /// Adds the sums of row `r` over later keys.
  void merge(uint32_t r, tile_sums& into, const tile_sums& later) const {
    auto at = uint64_t{r} * cols_;
    if (later.sum[r] > 0)
      kernels_.merge({into.max + r, into.sum + r, into.acc + at, later.max[r],
                      later.sum[r], later.acc + at, cols_});
  }

  void store(uint32_t r, const tile_sums& sums) const {
    auto acc = sums.acc + uint64_t{r} * cols_;
    kernels_.multiply(acc, cols_, 1 / sums.sum[r]);
    if (is_bf16_)
      kernels_.join_pairs(acc, cols_, acc);
    auto out = host::row<float>(op_.out, row_of(r))
               + head(r) * op_.cache.latent;
    std::copy_n(acc, op_.cache.latent, out);
  }

  uint32_t num_rows() const {
    return t_.count;
  }

  uint64_t acc_values() const {
    return uint64_t{t_.count} * cols_;
  }

private:
  uint32_t token(uint32_t r) const {
    return (t_.first + r) / op_.heads;
  }

  uint32_t head(uint32_t r) const {
    return (t_.first + r) % op_.heads;
  }

  uint64_t row_of(uint32_t r) const {
    return t_.sequence->first_row + token(r);
  }

  /// What a row of q passes through on its way into the tile.
  struct row_buffers {
    explicit row_buffers(uint32_t width) : x(width), bf16(width) {
    }

    std::vector<float> x;
    std::vector<uint16_t> bf16;
  };

  void load_q(uint32_t r, row_buffers& b) {
    auto latent = op_.cache.latent;
    std::copy_n(host::row<float>(op_.q_latent, row_of(r)) + head(r) * latent,
                latent, b.x.data());
    std::copy_n(host::row<float>(op_.q, row_of(r)) + head(r) * op_.q_stride
                  + op_.q_rope_skip,
                op_.cache.rope, b.x.data() + latent);
    std::fill(b.x.begin() + latent + op_.cache.rope, b.x.end(), 0.0f);
    if (is_bf16_)
      kernels_.to_bf16(b.x.data(), width_, b.bf16.data());
    if (pairs_)
      return place(b.bf16.data(), r, q<uint16_t>());
    if (is_bf16_) {
      kernels_.from_bf16(b.bf16.data(), width_, b.x.data());
      kernels_.split_pairs(b.x.data(), width_, b.x.data());
    }
    place(b.x.data(), r, q<float>());
  }

  /// Row `r` of q among the others.
  template <class T>
  void place(const T* row, uint32_t r, T* to) const {
    auto out = to + r * column_group;
    for (uint32_t i = 0; i < width_; i += column_group)
      std::copy_n(row + i, column_group, out + uint64_t{i} * t_.count);
  }

  template <class T>
  T* q() {
    return reinterpret_cast<T*>(q_.get());
  }

  template <class Fn>
  static void for_each_block(uint32_t count, const Fn& fn) {
    static_assert(split_keys % key_blocks::tokens == 0);
    for (uint32_t skip = 0; skip < count; skip += key_blocks::tokens)
      fn(skip, std::min(key_blocks::tokens, count - skip));
  }

  /// The keys of the next split are fetched in both passes over this one, half
  /// a block in each block's time: neither pass waits for memory alone.
  static prefetch_lines next_lines(const key_blocks& blocks, uint32_t first,
                                   uint32_t skip, uint32_t part) {
    auto tokens = key_blocks::tokens;
    auto block = skip / tokens;
    return blocks.half(first + split_keys + part + block / 2 * tokens,
                       block % 2);
  }

  void multiply_keys(const key_rows& keys, uint32_t count,
                     const std::byte* following, const prefetch_lines& next,
                     float* out) {
    score_args args;
    args.q = q<float>();
    args.q_pairs = q<uint16_t>();
    args.keys = keys.data;
    args.stride = keys.stride;
    args.num_keys = count;
    args.width = width_;
    args.following = following;
    args.next = next;
    args.out = out;
    auto& fns = pairs_     ? kernels_.score_pairs
                : is_bf16_ ? kernels_.score_bf16
                           : kernels_.score_f32;
    fns[t_.count](args);
  }

  void soften(uint32_t r, uint32_t first, uint32_t count, float* scores,
              tile_sums& out) {
    auto end = t_.sequence->first_position + token(r) + 1;
    out.max[r] = -std::numeric_limits<float>::infinity();
    out.sum[r] = 0;
    auto whole = padded(count);
    if (end <= first) {
      std::fill_n(scores, whole, 0.0f);
      return;
    }
    auto seen = std::min(count, end - first);
    kernels_.soften({scores, seen, whole, op_.scale, out.max + r, out.sum + r});
  }

  void add_values(const key_rows& values, uint32_t count,
                  const prefetch_lines& next, const float* weights,
                  const tile_sums& out) {
    attend_args args;
    args.weights = weights;
    args.values = values.data;
    args.stride = values.stride;
    args.num_keys = count;
    args.cols = cols_;
    args.acc = out.acc;
    args.acc_stride = cols_;
    args.next = next;
    auto& fns = is_bf16_ ? kernels_.attend_bf16 : kernels_.attend_f32;
    fns[t_.count](args);
  }

  const kernel_set& kernels_;
  const mla_attention& op_;
  tile t_;
  bool is_bf16_;
  uint32_t width_;
  bool pairs_; ///< Scores are dot products of bf16.
  uint32_t cols_;
  aligned_bytes q_; ///< [width / 32][rows][32] f32, or bf16 if pairs_
};

/// Tiles of a sequence that a task takes through all splits.
void run_tiles(const kernel_set& kernels, const mla_attention& op,
               std::span<const tile> tiles) {
  key_blocks blocks{op.cache, *tiles[0].sequence};
  std::vector<tile_run> runs;
  uint64_t values = 0;
  for (auto& t : tiles) {
    runs.emplace_back(kernels, op, t);
    runs.back().load_q();
    values = std::max(values, runs.back().acc_values());
  }
  auto mem = make_aligned((runs.size() + 1) * values * sizeof(float));
  auto acc = reinterpret_cast<float*>(mem.get());
  std::vector<tile_sums> sums(runs.size());
  tile_sums later;
  later.acc = acc + runs.size() * values;
  for (uint32_t split = 0; split < num_splits(runs.back().num_keys()); ++split)
    for (size_t i = 0; i < runs.size(); ++i) {
      sums[i].acc = acc + i * values;
      if (split >= num_splits(runs[i].num_keys()))
        continue;
      runs[i].add_split(blocks, split, split == 0 ? sums[i] : later);
      if (split > 0)
        for (uint32_t r = 0; r < runs[i].num_rows(); ++r)
          runs[i].merge(r, sums[i], later);
    }
  for (size_t i = 0; i < runs.size(); ++i)
    for (uint32_t r = 0; r < runs[i].num_rows(); ++r)
      runs[i].store(r, sums[i]);
}

std::vector<tile> make_tiles(const mla_attention& op, uint32_t most) {
  std::vector<tile> out;
  for (auto& s : op.sequences) {
    auto rows = s.num_rows * op.heads;
    auto num_tiles = (rows + most - 1) / most;
    for (uint32_t i = 0; i < num_tiles; ++i) {
      auto first = uint32_t(uint64_t{rows} * i / num_tiles);
      auto last = uint32_t(uint64_t{rows} * (i + 1) / num_tiles);
      out.push_back({&s, first, last - first});
    }
  }
  return out;
}

/// How often a tile passes over a split.
uint64_t count_passes(const std::vector<tile>& tiles) {
  uint64_t out = 0;
  for (auto& t : tiles)
    out += num_splits(t.sequence->first_position + t.sequence->num_rows);
  return out;
}

/// Many tiles: those of a sequence go in groups.
void run_whole(context& ctx, const mla_attention& op,
               const std::vector<tile>& tiles) {
  std::vector<std::span<const tile>> groups;
  for (size_t i = 0; i < tiles.size();) {
    auto n = size_t{1};
    while (n < max_tiles && i + n < tiles.size()
           && tiles[i + n].sequence == tiles[i].sequence)
      ++n;
    groups.emplace_back(tiles.data() + i, n);
    i += n;
  }
  ctx.pool->parallel_for(uint32_t(groups.size()), [&](uint32_t i) {
    run_tiles(ctx.kernels, op, groups[i]);
  });
}

/// Few tiles: a task is a split, for all tiles of a sequence while the keys are
/// near, or for one; then the splits are merged.
class split_run {
public:
  split_run(context& ctx, const mla_attention& op,
            const std::vector<tile>& tiles, bool apart)
    : ctx_(ctx), op_(op), apart_(apart) {
    for (auto& t : tiles) {
      auto& run = runs_.emplace_back(ctx.kernels, op, t);
      auto splits = num_splits(run.num_keys());
      auto& sums = sums_.emplace_back(splits);
      for (auto& x : sums)
        x.acc = ctx.memory.take<float>(run.acc_values());
      add_pieces(t, splits);
    }
  }

  void run() {
    auto num_tiles = uint32_t(runs_.size());
    auto values = runs_.front().acc_values();
    ctx_.for_each(num_tiles, values, [this](uint32_t i) { runs_[i].load_q(); });
    ctx_.for_each(uint32_t(pieces_.size()), runs_.front().split_ns(),
                  [this](uint32_t i) { add(pieces_[i]); });
    auto most = ctx_.kernels.attention_rows;
    ctx_.for_each(num_tiles * most, values / most * sums_.front().size() / 4,
                  [&](uint32_t i) { finish(i / most, i % most); });
  }

private:
  struct piece {
    const sequence_rows* sequence;
    uint32_t first_tile, last_tile;
    uint32_t split;
  };

  /// The last tile of a sequence sees all of its keys.
  void add_pieces(const tile& t, uint32_t splits) {
    auto i = uint32_t(runs_.size());
    auto is_new = apart_ || pieces_.empty()
                  || pieces_.back().sequence != t.sequence;
    auto first = is_new ? 0 : pieces_.back().split + 1;
    auto first_tile = is_new ? i - 1 : pieces_.back().first_tile;
    for (; first < splits; ++first)
      pieces_.push_back({t.sequence, first_tile, i, first});
    if (apart_)
      return;
    for (auto& p : pieces_)
      if (p.sequence == t.sequence)
        p.last_tile = i;
  }

  void add(const piece& p) {
    key_blocks blocks{op_.cache, *p.sequence};
    for (auto i = p.first_tile; i < p.last_tile; ++i)
      if (p.split < sums_[i].size())
        runs_[i].add_split(blocks, p.split, sums_[i][p.split]);
  }

  void finish(uint32_t i, uint32_t r) {
    if (r >= runs_[i].num_rows())
      return;
    for (size_t split = 1; split < sums_[i].size(); ++split)
      runs_[i].merge(r, sums_[i][0], sums_[i][split]);
    runs_[i].store(r, sums_[i][0]);
  }

  context& ctx_;
  const mla_attention& op_;
  bool apart_; ///< A task takes one tile.
  std::vector<tile_run> runs_;
  std::vector<std::vector<tile_sums>> sums_; ///< [tiles][splits]
  std::vector<piece> pieces_;
};

} // namespace

void run(context& ctx, const mla_attention& op) {
  auto most = ctx.kernels.attention_rows;
  auto tiles = make_tiles(op, most);
  if (tiles.empty())
    return;
  if (tiles.size() >= many_tiles)
    return run_whole(ctx, op, tiles);
  auto apart = count_passes(tiles) <= few_passes;
  if (apart)
    tiles = make_tiles(op, most / 2);
  split_run(ctx, op, tiles, apart).run();
}

} // namespace troupe::kernels::cpu
