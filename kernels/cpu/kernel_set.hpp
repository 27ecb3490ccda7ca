#pragma once

/// The inner loops of one instruction set, chosen once per device. Everything
/// around them (scheduling, gathering, layouts) is compiled for any machine
/// and shared; see product.hpp and rows.cpp.
///
/// Products are made of tiles: up to 12 rows of x times one panel of 32
/// outputs of W. Outputs lie in lanes, so that each has one FP32 accumulator
/// and K ascends, whatever the number of rows: a row's bits do not depend on
/// the tile it fell into. A panel is [k][32] (f32) or [k / 2][32][2] (bf16 and
/// f8_e4m3); rows lie in tiles as [k][rows] f32 or [k / 2][rows][2] bf16.

#include "kernels/host/token_weights.hpp"

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace troupe::kernels::cpu {

constexpr uint32_t panel_rows = 32;
constexpr uint32_t max_tile_rows = 12;

/// acc[r][n] += sum over k of a[k][r] w[k][n]; with scales that sum is first
/// multiplied by x_scales[r] * w_scale.
struct tile_args {
  const std::byte* a = nullptr;
  const std::byte* w = nullptr;
  uint32_t steps = 0;              ///< Of k: pairs, or single with f32 weights.
  float* acc = nullptr;            ///< [rows][32]
  const float* x_scales = nullptr; ///< [rows], or null: not scaled.
  float w_scale = 1;
  /// What will be read next; or null.
  const std::byte* next = nullptr;
  uint32_t next_step = 64; ///< Bytes of it for each step: 32, 64 or 128.
};

using tile_fn = void (*)(const tile_args&);

/// By number of rows; [0] is not used.
using tile_fns = tile_fn[max_tile_rows + 1];

/// All 128-wide blocks of an f8 panel in one go, for few rows; the same bits
/// as staging the codes and multiplying tile by tile.
struct f8_panel_args {
  const std::byte* a = nullptr;     ///< As tiles have it.
  const std::byte* codes = nullptr; ///< [k / 2][32][2], see f8_position
  uint32_t blocks = 0;
  const float* x_scales = nullptr; ///< [blocks][rows]
  const float* w_scales = nullptr; ///< [blocks]
  const uint64_t* marks = nullptr; ///< [blocks], see mark_f8
  const std::byte* next = nullptr; ///< Where the panel that comes next lies.
  float* acc = nullptr;            ///< [rows][32]
};

using f8_panel_fn = void (*)(const f8_panel_args&);

constexpr uint32_t max_f8_rows = 8;

/// One token of `combine`.
struct combine_args {
  const std::byte* const* rows = nullptr; ///< [k]
  const float* weights = nullptr;         ///< [k]
  uint32_t k = 0;
  bool bf16 = false;             ///< Type of `rows`; else f32.
  const float* shared = nullptr; ///< Or null.
  float* residual = nullptr;
  uint32_t cols = 0;
};

// Attention takes keys in splits of so many, at absolute positions, each with
// its own softmax; the sums of splits are then merged in order.
constexpr uint32_t split_keys = 256;

constexpr uint32_t max_attention_rows = 8;

/// Columns of keys and values that the inner loops take at a time.
constexpr uint32_t column_group = 32;

/// Lines that will be read by and by: `step` is the size of one, or 0.
struct prefetch_lines {
  const std::byte* from = nullptr;
  uint64_t step = 0;
};

/// out[r][j] = q[r] . keys[j]
struct score_args {
  const float* q = nullptr; ///< [width / 32][rows][32], see split_pairs
  const uint16_t* q_pairs = nullptr; ///< Of score_pairs: the same in bf16.
  const std::byte* keys = nullptr;   ///< The first one.
  uint64_t stride = 0;               ///< Bytes from one key to the next.
  uint32_t num_keys = 0;             ///< At most split_keys.
  uint32_t width = 0;                ///< A multiple of 32.
  /// Where the keys after these lie, if it is known; else null.
  const std::byte* following = nullptr;
  prefetch_lines next;
  float* out = nullptr; ///< [rows][split_keys]
};

/// acc[r] += sum over j, ascending, of weights[r][j] values[j]
struct attend_args {
  const float* weights = nullptr;    ///< [rows][split_keys]
  const std::byte* values = nullptr; ///< The first one.
  uint64_t stride = 0;               ///< Bytes from one value to the next.
  uint32_t num_keys = 0;             ///< At most split_keys.
  uint32_t cols = 0;                 ///< A multiple of 32.
  float* acc = nullptr; ///< [rows][cols]; of bf16 values as by split_pairs
  uint32_t acc_stride = 0;
  prefetch_lines next;
};

using score_fn = void (*)(const score_args&);
using attend_fn = void (*)(const attend_args&);

/// The softmax of one row over some keys, continued.
struct soften_args {
  float* scores
    = nullptr;        ///< [count] in: products; out: weights, 0 if not seen
  uint32_t seen = 0;  ///< 1 .. count
  uint32_t count = 0; ///< A multiple of 32.
  float scale = 1;
  float* max = nullptr; ///< Of this row so far, in and out; -inf: none.
  float* sum = nullptr; ///< Likewise.
};

/// The sums of one row over keys, and over further keys. Neither is empty.
struct merge_args {
  float* max = nullptr;
  float* sum = nullptr;
  float* acc = nullptr; ///< [count]
  float other_max = 0;
  float other_sum = 0;
  const float* other_acc = nullptr;
  uint32_t count = 0;
};

// Sampling looks for the cut of a row by buckets of levels; see sample.cpp.
constexpr uint32_t num_buckets = 1024;

/// Each bucket is kept so many times, by turns, so that one addition need not
/// wait for the last.
constexpr uint32_t bucket_copies = 2;

struct logit_range {
  float min = 0;
  float max = 0;
  bool has_nan = false; ///< Then the others mean nothing.
};

/// Part of a row: ids whose level is in [bottom, top]; bottom >= lowest_level.
struct level_range {
  const float* logits = nullptr;
  uint32_t count = 0; ///< Of logits.
  host::level_scale scale;
  double top = 0;
  double bottom = host::lowest_level;
  /// Whatever is in [bottom, top] has a logit in [low, high].
  float low = 0;
  float high = 0;

  /// Buckets of one octave; top != bottom.
  double buckets_of_octave() const {
    return (num_buckets - 1) / (top - bottom);
  }
};

struct bucket_sums {
  uint64_t weights[bucket_copies][num_buckets] = {};
  uint32_t counts[bucket_copies][num_buckets] = {};
};

/// Logits that lie between two, both included.
struct pick_args {
  const float* logits = nullptr;
  uint32_t count = 0;
  float low = 0;
  float high = 0;
  uint32_t* ids = nullptr; ///< Of the first of them, ascending.
  uint32_t max_ids = 0;
};

struct picked {
  uint32_t count = 0; ///< All of them; `min` and `max` mean nothing without.
  float min = 0;
  float max = 0;
};

using widen_columns_fn = void (*)(const uint32_t* panel, uint32_t steps,
                                  float* out);

struct kernel_set {
  std::string_view name;
  uint32_t tile_rows = max_tile_rows; ///< Best number of rows in a tile.
  bool pairs = false; ///< bf16 operands go two by two into dot products.

  tile_fns f32_tiles = {};  ///< f32 rows, f32 panel
  tile_fns bf16_tiles = {}; ///< f32 rows, bf16 panel
  tile_fns pair_tiles = {}; ///< bf16 rows, bf16 panel; only if `pairs`
  f8_panel_fn f8_panels[max_f8_rows + 1] = {}; ///< Null where there are none.

  /// Marks the blocks of an f8 panel: bit i says that step i holds a code that
  /// is no normal number (zero, subnormal, NaN). Null where nobody asks.
  void (*mark_f8)(const std::byte* codes, uint32_t blocks, uint64_t* marks)
    = {};

  /// Turns `steps` steps of an f8 panel into a bf16 panel.
  void (*stage_f8)(const std::byte* codes, uint32_t steps, uint16_t* out) = {};

  /// The same, into a f32 panel: [2 steps][32].
  void (*widen_f8)(const std::byte* codes, uint32_t steps, float* out) = {};

  // Rows. Tails give the bits that full vectors give.
  void (*rms_norm)(const float* x, const float* weight, uint32_t count,
                   float eps, float* out)
    = {};
  void (*to_bf16)(const float* x, uint32_t count, uint16_t* out) = {};
  void (*from_bf16)(const uint16_t* x, uint32_t count, float* out) = {};
  void (*to_e4m3)(const float* x, uint32_t count, uint8_t* codes, float* scales)
    = {};
  void (*from_e4m3)(const uint8_t* codes, uint32_t count, float* out) = {};
  void (*swiglu)(const float* gate, const float* up, uint32_t count, float* out)
    = {};
  void (*rotate)(const float* x, const float* cos_sin, uint32_t count,
                 float* out)
    = {};
  void (*combine)(const combine_args&) = {};
  void (*sigmoid)(float* x, uint32_t count) = {};
  void (*softmax)(float* x, uint32_t count) = {};

  // Attention. By number of rows; [0] is not used.
  uint32_t attention_rows = max_attention_rows; ///< At most, and best.
  score_fn score_bf16[max_attention_rows + 1] = {};
  score_fn score_f32[max_attention_rows + 1] = {};
  score_fn score_pairs[max_attention_rows + 1] = {}; ///< bf16; only if `pairs`
  uint32_t attend_rows = max_tile_rows;              ///< At most.
  attend_fn attend_bf16[max_tile_rows + 1] = {};
  attend_fn attend_f32[max_tile_rows + 1] = {};
  /// Puts `count` values into the order in which bf16 keys are widened, and
  /// back. `count` is a multiple of 32; `out` may be `x`.
  void (*split_pairs)(const float* x, uint32_t count, float* out) = {};
  void (*join_pairs)(const float* x, uint32_t count, float* out) = {};
  /// Returns what the row's earlier sums are to be multiplied by.
  float (*soften)(const soften_args&) = {};
  void (*multiply)(float* x, uint32_t count, float by) = {};
  void (*merge)(const merge_args&) = {};
  /// out[i][j] = rows[j][i] for 32 rows of `words` words.
  void (*transpose)(const std::byte* const* rows, uint32_t words, uint32_t* out)
    = {};
  /// By number of columns of a panel of bf16 pairs, [steps][32][2]: as a tile
  /// of rows in f32, [2 steps][columns].
  widen_columns_fn widen_columns[max_tile_rows + 1] = {};

  // Sampling. Sums are of whole numbers.
  logit_range (*survey)(const float* logits, uint32_t count) = {};
  uint64_t (*sum_weights)(const level_range&) = {}; ///< Whatever `top` says.
  /// Bucket of a level: (top - level) * buckets_of_octave(), to the nearest.
  void (*fill_weights)(const level_range&, bucket_sums&) = {};
  void (*fill_weights_and_counts)(const level_range&, bucket_sums&) = {};
  picked (*pick)(const pick_args&) = {};
  /// Returns the first id at which the running sum of weights exceeds `place`;
  /// `count`, if none does: then the sum is taken from `place`. As
  /// sum_weights.
  uint32_t (*find_weight)(const level_range&, uint64_t& place) = {};
};

/// Where the code of k-pair member `s` of output `n` lies in the 64 codes of a
/// step: unpacking the halves of 128-bit lanes then gives outputs in order.
constexpr uint32_t f8_position(uint32_t n, uint32_t s) {
  auto e = n % 16 * 2 + s;
  return e / 8 * 16 + n / 16 * 8 + e % 8;
}

/// Returns the loops of `target` or of the best one below it that this
/// machine has; "best" for the best. CHECKs the name.
kernel_set make_kernel_set(std::string_view target);

} // namespace troupe::kernels::cpu
