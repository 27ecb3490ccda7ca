#include "kernels/cpu/product.hpp"

#include "kernels/host/floats.hpp"
#include "kernels/host/host_memory.hpp"

#include <cstring>

namespace troupe::kernels::cpu {

namespace {

/// Tiles that share a pass over a panel, bounded by the accumulators on the
/// stack.
constexpr uint32_t max_tiles = 16;

/// Steps of k whose part of a panel stays in the first cache while all tiles
/// pass: 16 KB of bf16, or one staged block of f8.
constexpr uint32_t chunk_steps = 128;
constexpr uint32_t block_steps = scale_block / 2;

constexpr uint32_t line = 64; // of the caches, in bytes

/// How many steps ahead weights are fetched that are used once: 16 KB.
constexpr uint32_t steps_ahead = 128;

/// Rows of x that share a pass over a panel should stay in the second cache.
constexpr uint64_t max_left_bytes = 768 << 10;

/// Some tiles times some panels.
struct piece {
  const product* what = nullptr;
  uint32_t first_panel = 0;
  uint32_t num_panels = 0;
  uint32_t first_tile = 0;
  uint32_t num_tiles = 0;
};

/// One panel times the tiles of a piece.
class panel_run {
public:
  /// `next` is the panel that comes afterwards.
  panel_run(const kernel_set& kernels, const piece& p, uint32_t panel,
            const std::byte* next)
    : kernels_(kernels), what_(*p.what),
      tiles_(what_.left->tiles().data() + p.first_tile, p.num_tiles),
      panel_(panel), w_(what_.panel(panel)), next_(next) {
    auto& last = tiles_.back();
    auto rows = last.first + last.rows - tiles_.front().first;
    std::memset(acc_, 0, rows * panel_rows * sizeof(float));
  }

  void compute() {
    if (what_.shape.type == dtype::f8_e4m3)
      multiply_f8();
    else
      multiply();
  }

  void store() const {
    auto n = panel_ * panel_rows;
    auto count = std::min(panel_rows, what_.shape.rows - n);
    auto first = tiles_.front().first;
    auto end = tiles_.back().first + tiles_.back().rows;
    for (auto r = first; r < end; ++r)
      store_row(acc_ + (r - first) * panel_rows, r, n, count);
  }

private:
  float* acc_of(const left_rows::tile& t) {
    return acc_ + (t.first - tiles_.front().first) * panel_rows;
  }

  const tile_fns& functions() const {
    if (what_.shape.type == dtype::f32)
      return kernels_.f32_tiles;
    return what_.left->pairs() ? kernels_.pair_tiles : kernels_.bf16_tiles;
  }

  /// Bytes of one row of a tile in one step.
  uint32_t step_bytes() const {
    return what_.left->pairs() || what_.shape.type == dtype::f32 ? 4 : 8;
  }

  void multiply() {
    auto depth = what_.shape.depth();
    auto steps = what_.shape.type == dtype::f32 ? depth : depth / 2;
    if (tiles_.size() == 1) {
      // Once over the panel; its last part fetches the next panel.
      auto last = std::min(steps, steps_ahead);
      multiply_steps(0, steps - last, w_ + steps_ahead * step_of_w, step_of_w);
      return multiply_steps(steps - last, last, next_, step_of_w);
    }
    for (uint32_t i = 0; i < steps; i += chunk_steps)
      multiply_steps(i, std::min(chunk_steps, steps - i),
                     w_ + uint64_t{i + chunk_steps} * step_of_w, line);
  }

  /// All tiles times steps [first, first + count) of the panel.
  void multiply_steps(uint32_t first, uint32_t count, const std::byte* next,
                      uint32_t next_step) {
    for (auto& t : tiles_) {
      tile_args args;
      args.a = what_.left->values(t) + uint64_t{first} * step_bytes() * t.rows;
      args.w = w_ + uint64_t{first} * step_of_w;
      args.steps = count;
      args.acc = acc_of(t);
      args.next = next;
      args.next_step = next_step;
      next += uint64_t{count} * next_step;
      functions()[t.rows](args);
    }
  }

  static constexpr uint32_t step_of_w = panel_rows * 4; // bytes

  void multiply_f8() {
    auto& front = tiles_.front();
    if (tiles_.size() == 1 && front.rows <= max_f8_rows && f8_function(front))
      return multiply_f8_panel(front);
    if (what_.left->pairs())
      multiply_blocks<uint16_t>(kernels_.stage_f8, kernels_.pair_tiles,
                                block_steps);
    else
      multiply_blocks<float>(kernels_.widen_f8, kernels_.f32_tiles,
                             scale_block);
  }

  /// Block by block, whose codes become a panel of T first; `steps` of k.
  template <class T, class Stage>
  void multiply_blocks(const Stage& stage, const tile_fns& functions,
                       uint32_t steps) {
    alignas(64) T staged[scale_block * panel_rows];
    constexpr auto block_bytes = uint64_t{block_steps} * line;
    for (uint32_t b = 0; b < what_.shape.blocks(); ++b) {
      stage(w_ + b * block_bytes, block_steps, staged);
      for (auto& t : tiles_) {
        tile_args args;
        args.a = what_.left->values(t)
                 + b * block_steps * uint64_t{step_bytes()} * t.rows;
        args.w = reinterpret_cast<const std::byte*>(staged);
        args.steps = steps;
        args.acc = acc_of(t);
        args.x_scales = what_.left->scales(t) + uint64_t{b} * t.rows;
        args.w_scale = w_scales()[b];
        // The codes of the next block.
        if (&t == &tiles_.front()) {
          args.next = w_ + (b + 1) * block_bytes;
          args.next_step = uint32_t(block_bytes / steps);
        }
        functions[t.rows](args);
      }
    }
  }

  /// With dot products f32 rows find none: those loops read pairs.
  f8_panel_fn f8_function(const left_rows::tile& t) const {
    auto fits = kernels_.pairs == what_.left->pairs();
    return fits ? kernels_.f8_panels[t.rows] : nullptr;
  }

  void multiply_f8_panel(const left_rows::tile& t) {
    f8_panel_args args;
    args.a = what_.left->values(t);
    args.codes = w_;
    args.blocks = what_.shape.blocks();
    args.x_scales = what_.left->scales(t);
    args.w_scales = w_scales();
    args.marks
      = reinterpret_cast<const uint64_t*>(w_ + what_.shape.marks_offset());
    args.acc = acc_of(t);
    args.next = next_;
    f8_function(t)(args);
  }

  const float* w_scales() const {
    return reinterpret_cast<const float*>(w_ + what_.shape.values_bytes());
  }

  void store_row(const float* acc, uint32_t r, uint32_t n,
                 uint32_t count) const {
    float sum[panel_rows];
    if (what_.residual) {
      auto residual = host::row<float>(what_.residual, r) + n;
      for (uint32_t i = 0; i < count; ++i)
        sum[i] = acc[i] + residual[i];
      acc = sum;
    }
    if (what_.out.type == dtype::bf16)
      kernels_.to_bf16(acc, count, host::row<uint16_t>(what_.out, r) + n);
    else
      std::memcpy(host::row<float>(what_.out, r) + n, acc, count * 4);
  }

  const kernel_set& kernels_;
  const product& what_;
  std::span<const left_rows::tile> tiles_;
  uint32_t panel_;
  const std::byte* w_;
  const std::byte* next_;
  alignas(64) float acc_[max_tiles * max_tile_rows * panel_rows];
};

/// `next` is the piece that the same thread is likely to take afterwards.
void run_piece(const kernel_set& kernels, const piece& p, const piece& next) {
  for (uint32_t i = 1; i <= p.num_panels; ++i) {
    auto panel = p.first_panel + i;
    auto after = i < p.num_panels ? p.what->panel(panel)
                                  : next.what->panel(next.first_panel);
    panel_run run(kernels, p, panel - 1, after);
    run.compute();
    run.store();
  }
}

/// About how long one panel takes a thread, from its bytes and its products.
uint64_t estimate_ns(const product& what, uint32_t rows) {
  auto bytes = what.shape.panel_bytes();
  auto flops = uint64_t{2} * rows * what.shape.depth() * panel_rows;
  return bytes / 16 + flops / 256 + 20;
}

uint32_t rows_in(std::span<const left_rows::tile> tiles) {
  return tiles.back().first + tiles.back().rows - tiles.front().first;
}

uint32_t tiles_together(const product& what) {
  auto value_bytes = what.left->pairs() ? 2 : 4;
  auto tile_bytes = uint64_t{max_tile_rows} * what.shape.depth() * value_bytes;
  return uint32_t(
    std::clamp<uint64_t>(max_left_bytes / tile_bytes, 4, max_tiles));
}

/// Calls fn(first tile, number of tiles, about how long one panel takes) for
/// tiles that pass over a panel together.
template <class Fn>
void for_each_group(const product& what, const Fn& fn) {
  std::span tiles(what.left->tiles());
  auto most = tiles_together(what);
  for (uint32_t t = 0; t < tiles.size(); t += most) {
    auto count = std::min(most, uint32_t(tiles.size()) - t);
    fn(t, count, estimate_ns(what, rows_in(tiles.subspan(t, count))));
  }
}

/// About how long all of it takes a thread.
uint64_t estimate_ns(const product& what) {
  uint64_t sum = 0;
  for_each_group(what, [&](auto, auto, uint64_t each) { sum += each; });
  return sum * what.shape.panels();
}

/// Cuts into pieces of about `ns`, by shape alone.
void cut(const product& what, uint64_t ns, std::vector<piece>& out) {
  auto panels = what.shape.panels();
  for_each_group(what, [&](uint32_t tile, uint32_t num_tiles, uint64_t each) {
    auto together = uint32_t(std::max<uint64_t>(1, ns / each));
    for (uint32_t p = 0; p < panels; p += together)
      out.push_back(
        {&what, p, std::min(together, panels - p), tile, num_tiles});
  });
}

} // namespace

void run_products(context& ctx, std::span<const product> products) {
  std::vector<piece> pieces;
  uint64_t ns = 0;
  for (auto& what : products)
    ns += estimate_ns(what);
  for (auto& what : products)
    cut(what, ns_of_piece(ns), pieces);
  auto run = [&](uint32_t i) {
    auto last = uint32_t(pieces.size()) - 1;
    run_piece(ctx.kernels, pieces[i], pieces[std::min(i + 1, last)]);
  };
  if (ns >= min_parallel_ns)
    return ctx.pool->parallel_for(uint32_t(pieces.size()), run);
  for (uint32_t i = 0; i < pieces.size(); ++i)
    run(i);
}

} // namespace troupe::kernels::cpu
