// Multi-head attention: a task is one head of one sequence. For each split of
// 256 keys it makes the head's keys and values from the latents, as panels, and
// then all rows of the sequence pass over them, twelve at a time.

#include "kernels/cpu/key_blocks.hpp"
#include "kernels/cpu/operations.hpp"
#include "kernels/cpu/packing.hpp"

#include <limits>
#include <mutex>

namespace troupe::kernels::cpu {

namespace {

/// Rows that share the keys of a task: what they cost counts for all of them.
constexpr uint32_t max_rows = 1024;

constexpr uint32_t panels_of_block = key_blocks::tokens / panel_rows;

/// Sizes that all tasks share.
struct geometry {
  geometry(const kernel_set& kernels, const mha_attention& op)
    : bf16(op.cache.type == dtype::bf16), pairs(bf16 && kernels.pairs),
      latent(op.cache.latent), rope(op.cache.rope), nope(op.k_b.cols),
      value(op.v_b.rows), key(nope + rope),
      depth(bf16 ? latent + latent % 2 : latent),
      steps(bf16 ? depth / 2 : depth),
      words(bf16 ? padded(latent + rope) / 2 : padded(latent + rope)),
      value_panels((value + panel_rows - 1) / panel_rows),
      value_cols(value_panels * panel_rows), tile_rows(kernels.tile_rows) {
  }

  bool bf16;
  bool pairs; ///< Keys and values are made by dot products of bf16.
  uint32_t latent, rope, nope;
  uint32_t value;        ///< Of a head.
  uint32_t key;          ///< Likewise: nope and rope.
  uint32_t depth;        ///< Latents with padding.
  uint32_t steps;        ///< Of products over latents.
  uint32_t words;        ///< Of a token of the cache.
  uint32_t value_panels; ///< Of a head.
  uint32_t value_cols;   ///< With padding.
  uint32_t tile_rows;
};

/// What a task computes in; a thread takes one after the other.
struct workspace {
  workspace(scratch& memory, const geometry& g, uint32_t rows)
    : q(memory.take<float>(uint64_t{rows} * g.key)),
      acc(memory.take<float>(uint64_t{rows} * g.value_cols)),
      max(memory.take<float>(rows)), sum(memory.take<float>(rows)),
      k_b(memory.take<float>(uint64_t{g.depth} * g.nope)),
      keys(memory.take<float>(uint64_t{split_keys} * g.key)),
      values(memory.take<float>(uint64_t{split_keys} * g.value_cols)),
      latents(memory.take<uint32_t>(uint64_t{panels_of_block} * g.words
                                    * panel_rows)),
      tile(memory.take<float>(uint64_t{g.depth} * g.tile_rows)),
      zeros(memory.take<uint32_t>(g.words)),
      scores(memory.take<float>(uint64_t{max_tile_rows} * split_keys)) {
    std::memset(zeros, 0, g.words * sizeof(uint32_t));
  }

  float* q;          ///< Tiles of [key][rows]
  float* acc;        ///< [rows][value_cols]
  float* max;        ///< [rows]
  float* sum;        ///< [rows]
  float* k_b;        ///< Tiles of [depth][columns of nope]; pairs: words
  float* keys;       ///< [8][key][32]
  float* values;     ///< [value panels][256][32]
  uint32_t* latents; ///< [2][words][32]
  float* tile;       ///< [depth][tile rows]; pairs: [steps][tile rows] words
  uint32_t* zeros;   ///< [words]
  float* scores;     ///< [tile rows][256]
};

/// Hands out as many workspaces as threads can want at once.
class workspaces {
public:
  workspaces(context& ctx, const geometry& g, uint32_t rows, uint32_t tasks) {
    auto count = std::min(tasks, ctx.pool->num_threads() + 1);
    for (uint32_t i = 0; i < count; ++i)
      free_.emplace_back(ctx.memory, g, rows);
  }

  workspace take() {
    std::lock_guard guard(mutex_);
    auto out = free_.back();
    free_.pop_back();
    return out;
  }

  void give_back(const workspace& x) {
    std::lock_guard guard(mutex_);
    free_.push_back(x);
  }

private:
  std::mutex mutex_;
  std::vector<workspace> free_;
};

/// Rows [first_row, first_row + num_rows) of a sequence, one head.
struct task {
  const sequence_rows* sequence = nullptr;
  uint32_t first_row = 0;
  uint32_t num_rows = 0;
  uint32_t head = 0;
};

/// The keys and values of a head, split by split.
class head_keys {
public:
  head_keys(const kernel_set& kernels, const geometry& g,
            const mha_attention& op, const task& t, const workspace& mem)
    : kernels_(kernels), g_(g), mem_(mem), blocks_(op.cache, *t.sequence),
      v_shape_(op.v_b),
      v_b_(host::address_of(op.v_b.data) + t.head * v_shape_.matrix_bytes()) {
    packed_shape shape(op.k_b);
    load_weights(shape,
                 host::address_of(op.k_b.data) + t.head * shape.matrix_bytes());
  }

  /// Makes keys and values of `count` positions from `first` on, a multiple of
  /// 256; those that are missing in a block become zeros.
  void load(uint32_t first, uint32_t count) {
    for (uint32_t skip = 0; skip < count; skip += key_blocks::tokens) {
      load_latents(first + skip, std::min(key_blocks::tokens, count - skip));
      for (uint32_t i = 0; i < panels_of_block; ++i) {
        make_keys(i, skip / panel_rows + i);
        make_values(i, skip + i * panel_rows);
      }
    }
  }

private:
  /// Columns [first, first + rows) of k_b as a tile of `rows` rows.
  void load_weights(const packed_shape& shape, const std::byte* k_b) {
    for (uint32_t first = 0; first < g_.nope; first += g_.tile_rows) {
      auto rows = std::min(g_.tile_rows, g_.nope - first);
      auto weight = [&](uint32_t i, uint32_t r) {
        auto panel = k_b + i / panel_rows * shape.panel_bytes();
        return i < g_.latent ? weight_at(panel, i % panel_rows, first + r) : 0;
      };
      auto out = tile_of_k_b(first);
      for (uint32_t r = 0; r < rows; ++r)
        for (uint32_t i = 0; i < g_.steps; ++i)
          place_step(out, i, r, rows, weight);
    }
  }

  /// Column `r` of one step of a tile, of which weight(i, r) tells latent i.
  template <class Weight>
  void place_step(float* out, uint32_t step, uint32_t r, uint32_t rows,
                  const Weight& weight) const {
    if (!g_.bf16) {
      out[step * rows + r] = weight(step, r);
      return;
    }
    auto even = weight(2 * step, r);
    auto odd = weight(2 * step + 1, r);
    if (!g_.pairs) {
      out[2 * step * rows + r] = even;
      out[(2 * step + 1) * rows + r] = odd;
      return;
    }
    auto word = std::bit_cast<uint32_t>(even) >> 16
                | std::bit_cast<uint32_t>(odd);
    std::memcpy(out + step * rows + r, &word, sizeof word);
  }

  float* tile_of_k_b(uint32_t first) const {
    return mem_.k_b + uint64_t{first} * (g_.pairs ? g_.steps : g_.depth);
  }

  float weight_at(const std::byte* panel, uint32_t n, uint32_t k) const {
    if (!g_.bf16)
      return reinterpret_cast<const float*>(panel)[k * panel_rows + n];
    auto words = reinterpret_cast<const uint32_t*>(panel);
    return member(words[k / 2 * panel_rows + n], k % 2);
  }

  /// Of a pair of bf16.
  static float member(uint32_t word, uint32_t which) {
    return std::bit_cast<float>(which == 0 ? word << 16 : word & 0xffff0000);
  }

  void load_latents(uint32_t position, uint32_t count) {
    auto tokens = blocks_.load(position, count);
    const std::byte* rows[key_blocks::tokens];
    for (uint32_t j = 0; j < key_blocks::tokens; ++j)
      rows[j] = j < count ? tokens.data + j * tokens.stride
                          : reinterpret_cast<const std::byte*>(mem_.zeros);
    for (uint32_t i = 0; i < panels_of_block; ++i)
      kernels_.transpose(rows + i * panel_rows, g_.words, latents(i));
  }

  uint32_t* latents(uint32_t panel) const {
    return mem_.latents + uint64_t{panel} * g_.words * panel_rows;
  }

  const tile_fns& functions() const {
    if (g_.pairs)
      return kernels_.pair_tiles;
    return g_.bf16 ? kernels_.bf16_tiles : kernels_.f32_tiles;
  }

  /// [nope | rope] of 32 keys, from panel `from` of the block's latents.
  void make_keys(uint32_t from, uint32_t panel) {
    auto out = mem_.keys + uint64_t{panel} * g_.key * panel_rows;
    std::memset(out, 0, uint64_t{g_.nope} * panel_rows * sizeof(float));
    for (uint32_t first = 0; first < g_.nope; first += g_.tile_rows) {
      tile_args args;
      args.a = reinterpret_cast<const std::byte*>(tile_of_k_b(first));
      args.w = reinterpret_cast<const std::byte*>(latents(from));
      args.steps = g_.steps;
      args.acc = out + uint64_t{first} * panel_rows;
      functions()[std::min(g_.tile_rows, g_.nope - first)](args);
    }
    for (uint32_t i = 0; i < g_.rope; ++i)
      copy_column(from, g_.latent + i, out + (g_.nope + i) * panel_rows);
  }

  void copy_column(uint32_t panel, uint32_t column, float* out) const {
    auto words = latents(panel);
    if (!g_.bf16) {
      std::memcpy(out, words + uint64_t{column} * panel_rows, panel_rows * 4);
      return;
    }
    words += uint64_t{column / 2} * panel_rows;
    for (uint32_t j = 0; j < panel_rows; ++j)
      out[j] = member(words[j], column % 2);
  }

  /// The values of 32 keys, which become keys [first, first + 32) of the split.
  void make_values(uint32_t from, uint32_t first) {
    for (uint32_t skip = 0; skip < panel_rows; skip += g_.tile_rows) {
      auto rows = std::min(g_.tile_rows, panel_rows - skip);
      load_tile(latents(from) + skip, rows);
      for (uint32_t p = 0; p < g_.value_panels; ++p) {
        auto out = mem_.values
                   + (uint64_t{p} * split_keys + first + skip) * panel_rows;
        std::memset(out, 0, rows * panel_rows * sizeof(float));
        tile_args args;
        args.a = reinterpret_cast<const std::byte*>(mem_.tile);
        args.w = v_b_ + p * v_shape_.panel_bytes();
        args.steps = g_.steps;
        args.acc = out;
        functions()[rows](args);
      }
    }
  }

  /// The latents of some keys as a tile of rows.
  void load_tile(const uint32_t* words, uint32_t rows) const {
    if (g_.bf16 && !g_.pairs)
      return kernels_.widen_columns[rows](words, g_.steps, mem_.tile);
    for (uint32_t k = 0; k < g_.steps; ++k)
      std::memcpy(mem_.tile + k * rows, words + uint64_t{k} * panel_rows,
                  rows * sizeof(float));
  }

  const kernel_set& kernels_;
  const geometry& g_;
  const workspace& mem_;
  key_blocks blocks_;
  packed_shape v_shape_;
  const std::byte* v_b_;
};

class head_run {
public:
  head_run(const kernel_set& kernels, const geometry& g,
           const mha_attention& op, const task& t, const workspace& mem)
    : kernels_(kernels), g_(g), op_(op), t_(t), mem_(mem),
      position_(t.sequence->first_position + t.first_row) {
    std::fill_n(mem.max, t.num_rows, -std::numeric_limits<float>::infinity());
    std::fill_n(mem.sum, t.num_rows, 0.0f);
    std::memset(mem.acc, 0,
                uint64_t{t.num_rows} * g.value_cols * sizeof(float));
    for (uint32_t first = 0; first < t.num_rows; first += g.tile_rows)
      load_q(first);
  }

  void run() {
    head_keys keys{kernels_, g_, op_, t_, mem_};
    auto end = position_ + t_.num_rows;
    for (uint32_t first = 0; first < end; first += split_keys) {
      keys.load(first, std::min(split_keys, end - first));
      for (uint32_t row = 0; row < t_.num_rows; row += g_.tile_rows)
        add_split(first, row);
    }
    store();
  }

private:
  uint32_t rows_of(uint32_t first) const {
    return std::min(g_.tile_rows, t_.num_rows - first);
  }

  void load_q(uint32_t first) {
    auto rows = rows_of(first);
    auto out = mem_.q + uint64_t{first} * g_.key;
    for (uint32_t r = 0; r < rows; ++r) {
      auto row = t_.sequence->first_row + t_.first_row + first + r;
      auto q = host::row<float>(op_.q, row) + t_.head * op_.q_stride;
      for (uint32_t k = 0; k < g_.key; ++k)
        out[k * rows + r] = q[k];
    }
  }

  /// Adds the keys of a split to the rows of a tile.
  void add_split(uint32_t first, uint32_t row) {
    auto rows = rows_of(row);
    auto end = position_ + row + rows;
    if (end <= first)
      return;
    auto count = std::min(split_keys, end - first);
    for (uint32_t i = 0; i * panel_rows < count; ++i)
      multiply_keys(row, i);
    for (uint32_t r = 0; r < rows; ++r)
      soften(row + r, first, padded(count), mem_.scores + r * split_keys);
    auto parts = (rows + kernels_.attend_rows - 1) / kernels_.attend_rows;
    for (uint32_t i = 0; i < parts; ++i)
      add_values(row, rows * i / parts, rows * (i + 1) / parts, count);
  }

  void multiply_keys(uint32_t row, uint32_t panel) {
    auto rows = rows_of(row);
    alignas(64) float out[max_tile_rows * panel_rows];
    std::memset(out, 0, rows * panel_rows * sizeof(float));
    tile_args args;
    args.a
      = reinterpret_cast<const std::byte*>(mem_.q + uint64_t{row} * g_.key);
    args.w = reinterpret_cast<const std::byte*>(
      mem_.keys + uint64_t{panel} * g_.key * panel_rows);
    args.steps = g_.key;
    args.acc = out;
    kernels_.f32_tiles[rows](args);
    for (uint32_t r = 0; r < rows; ++r)
      std::memcpy(mem_.scores + r * split_keys + panel * panel_rows,
                  out + r * panel_rows, panel_rows * sizeof(float));
  }

  void soften(uint32_t row, uint32_t first, uint32_t count, float* scores) {
    auto end = position_ + row + 1;
    if (end <= first) {
      std::fill_n(scores, count, 0.0f);
      return;
    }
    auto seen = std::min(count, end - first);
    auto keep = kernels_.soften(
      {scores, seen, count, op_.scale, mem_.max + row, mem_.sum + row});
    if (keep != 1 && first > 0)
      kernels_.multiply(acc(row), g_.value_cols, keep);
  }

  float* acc(uint32_t row) const {
    return mem_.acc + uint64_t{row} * g_.value_cols;
  }

  void add_values(uint32_t row, uint32_t first, uint32_t last, uint32_t count) {
    for (uint32_t p = 0; p < g_.value_panels; ++p) {
      attend_args args;
      args.weights = mem_.scores + first * split_keys;
      args.values = reinterpret_cast<const std::byte*>(
        mem_.values + uint64_t{p} * split_keys * panel_rows);
      args.stride = panel_rows * sizeof(float);
      args.num_keys = count;
      args.cols = panel_rows;
      args.acc = acc(row + first) + p * panel_rows;
      args.acc_stride = g_.value_cols;
      args.next = {args.values, 0};
      kernels_.attend_f32[last - first](args);
    }
  }

  void store() {
    for (uint32_t r = 0; r < t_.num_rows; ++r) {
      kernels_.multiply(acc(r), g_.value_cols, 1 / mem_.sum[r]);
      auto row = t_.sequence->first_row + t_.first_row + r;
      std::copy_n(acc(r), g_.value,
                  host::row<float>(op_.out, row) + t_.head * g_.value);
    }
  }

  const kernel_set& kernels_;
  const geometry& g_;
  const mha_attention& op_;
  const task& t_;
  const workspace& mem_;
  uint32_t position_; ///< Of the first row.
};

std::vector<task> make_tasks(const mha_attention& op) {
  std::vector<task> out;
  for (auto& s : op.sequences)
    for (uint32_t r = 0; r < s.num_rows; r += max_rows)
      for (uint32_t h = 0; h < op.heads; ++h)
        out.push_back({&s, r, std::min(max_rows, s.num_rows - r), h});
  return out;
}

} // namespace

void run(context& ctx, const mha_attention& op) {
  geometry g(ctx.kernels, op);
  auto tasks = make_tasks(op);
  uint32_t rows = 0;
  for (auto& t : tasks)
    rows = std::max(rows, t.num_rows);
  workspaces memory{ctx, g, rows, uint32_t(tasks.size())};
  ctx.pool->parallel_for(uint32_t(tasks.size()), [&](uint32_t i) {
    auto mem = memory.take();
    head_run(ctx.kernels, g, op, tasks[i], mem).run();
    memory.give_back(mem);
  });
}

} // namespace troupe::kernels::cpu
