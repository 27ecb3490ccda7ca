#include "kernels/check.hpp"
#include "kernels/host/token_weights.hpp"
#include "kernels/ops.hpp"

#include <algorithm>
#include <cmath>

namespace troupe::kernels {

namespace {

// -- parts --------------------------------------------------------------------

/// Holds for memory too: the last row ends within it. A matrix without rows or
/// columns needs none.
void check_tensor(const tensor& t, uint64_t rows, uint64_t cols) {
  CHECK(t.rows == rows && t.cols == cols);
  auto width = cols * size_of(t.type);
  if (rows == 0 || cols == 0)
    return;
  CHECK(t.stride >= width || rows == 1);
  CHECK(t.stride % size_of(t.type) == 0);
  CHECK(t.mem.offset % size_of(t.type) == 0);
  CHECK((rows - 1) * t.stride + width <= t.mem.bytes);
}

void check_tensor(const tensor& t, dtype type, uint64_t rows, uint64_t cols) {
  CHECK(t.type == type);
  check_tensor(t, rows, cols);
}

void check_f32(const tensor& t, uint64_t rows, uint64_t cols) {
  check_tensor(t, dtype::f32, rows, cols);
}

void check_activation(const activation& x, uint64_t rows, uint64_t cols) {
  CHECK(x.values.type != dtype::i32);
  check_tensor(x.values, rows, cols);
  if (x.values.type != dtype::f8_e4m3)
    CHECK(!x.scales);
  else if (rows > 0)
    check_f32(x.scales, rows, num_scale_blocks(uint32_t(cols)));
}

void check_weight(const weight& w, uint64_t rows, uint64_t cols) {
  CHECK(w.data && w.type != dtype::i32);
  CHECK(w.rows > 0 && w.cols > 0 && w.groups > 0);
  CHECK(w.rows == rows && w.cols == cols);
}

/// f8 x with f8 W; bf16 x with f8 or bf16 W; f32 x with any W.
void check_pair(dtype x, dtype w) {
  CHECK(x == dtype::f32 || w == dtype::f8_e4m3
        || (x == dtype::bf16 && w == dtype::bf16));
}

void check_indices(const std::vector<uint32_t>& idx, uint32_t rows) {
  CHECK(std::all_of(idx.begin(), idx.end(), [&](auto i) { return i < rows; }));
}

bool is_f32_or_bf16(dtype type) {
  return type == dtype::f32 || type == dtype::bf16;
}

/// The sequences cover `rows` rows in order.
void check_sequences(const std::vector<sequence_rows>& sequences,
                     uint64_t rows) {
  uint64_t covered = 0;
  for (auto& s : sequences) {
    CHECK(s.first_row == covered);
    covered += s.num_rows;
  }
  CHECK(covered == rows);
}

void check_positions(const std::vector<sequence_rows>& sequences,
                     const tensor& cos_sin, uint32_t rope) {
  CHECK(rope % 2 == 0);
  check_f32(cos_sin, cos_sin.rows, rope);
  for (auto& s : sequences)
    CHECK(s.num_rows == 0
          || uint64_t{s.first_position} + s.num_rows <= cos_sin.rows);
}

/// The cache has every block that the sequences name.
void check_cache(const latent_cache& cache,
                 const std::vector<sequence_rows>& sequences) {
  CHECK(is_f32_or_bf16(cache.type) && cache.latent > 0);
  auto width = size_of(cache.type);
  auto block_bytes = uint64_t{cache.latent + cache.rope} * width
                     * cache.block_tokens;
  CHECK(cache.block_stride >= block_bytes && cache.block_stride % width == 0);
  CHECK(cache.mem.offset % width == 0);
  for (auto& s : sequences) {
    if (s.num_rows == 0)
      continue;
    auto last = uint64_t{s.first_position} + s.num_rows - 1;
    auto num_blocks = last / cache.block_tokens + 1;
    CHECK(s.blocks && s.blocks->size() >= num_blocks);
    for (uint64_t i = 0; i < num_blocks; ++i)
      CHECK((*s.blocks)[i] * cache.block_stride + block_bytes
            <= cache.mem.bytes);
  }
}

// -- operations ---------------------------------------------------------------

void check(const copy_in& op) {
  CHECK(op.src || !op.dst);
}

void check(const copy_out& op) {
  CHECK(op.dst || !op.src);
}

void check(const pack_rows& op) {
  check_activation(op.x, op.x.values.rows, op.x.values.cols);
  check_indices(op.idx, op.x.values.rows);
  CHECK(op.dst || op.idx.empty());
}

void check(const gather_rows& op) {
  check_tensor(op.src, op.src.rows, op.src.cols);
  check_tensor(op.dst, op.src.type, op.idx.size(), op.src.cols);
  check_indices(op.idx, op.src.rows);
}

void check(const pack_weight& op) {
  check_weight(op.dst, op.dst.rows, op.dst.cols);
  CHECK(op.src);
  CHECK((op.scales != nullptr) == (op.dst.type == dtype::f8_e4m3));
  CHECK(op.first_row < op.dst.rows && op.first_row % scale_block == 0);
  CHECK(op.num_rows <= op.dst.rows - op.first_row);
  CHECK(op.num_rows > 0 || op.first_row == 0);
  CHECK(op.num_rows % scale_block == 0 || op.end_row() == op.dst.rows);
}

void check(const embed& op) {
  CHECK(is_f32_or_bf16(op.table.type));
  check_tensor(op.table, op.table.rows, op.table.cols);
  check_f32(op.out, op.ids.size(), op.table.cols);
  for (auto id : op.ids)
    CHECK(id >= 0 && uint32_t(id) < op.table.rows);
}

void check(const rms_norm& op) {
  auto rows = op.x.rows;
  auto cols = op.x.cols;
  check_f32(op.x, rows, cols);
  check_f32(op.weight, 1, cols);
  CHECK(op.eps >= 0);
  CHECK(op.out || op.operand.values || rows == 0);
  if (op.out)
    check_f32(op.out, rows, cols);
  if (op.operand.values)
    check_activation(op.operand, rows, cols);
}

void check(const quantize& op) {
  check_f32(op.x, op.x.rows, op.x.cols);
  check_activation(op.out, op.x.rows, op.x.cols);
}

void check(const linear& op) {
  auto rows = op.x.values.rows;
  check_activation(op.x, rows, op.w.cols);
  check_weight(op.w, op.out.cols, op.x.values.cols);
  CHECK(op.w.groups == 1);
  check_pair(op.x.values.type, op.w.type);
  check_f32(op.out, rows, op.w.rows);
  if (op.residual)
    check_f32(op.residual, rows, op.w.rows);
}

void check(const grouped_linear& op) {
  CHECK(is_f32_or_bf16(op.w.type));
  check_weight(op.w, op.w.rows, op.w.cols);
  check_f32(op.x, op.x.rows, op.x.cols);
  CHECK(op.x.rows == 0
        || (op.w.groups - 1) * op.x_stride + op.w.cols <= op.x.cols);
  check_f32(op.out, op.x.rows, uint64_t{op.w.groups} * op.w.rows);
}

void check(const append_latent& op) {
  auto& cache = op.cache;
  check_f32(op.kv, op.kv.rows, uint64_t{cache.latent} + cache.rope);
  check_f32(op.weight, 1, cache.latent);
  CHECK(op.eps >= 0);
  check_sequences(op.sequences, op.kv.rows);
  check_positions(op.sequences, op.cos_sin, cache.rope);
  check_cache(cache, op.sequences);
}

void check(const rotate& op) {
  check_f32(op.x, op.x.rows, op.x.cols);
  check_sequences(op.sequences, op.x.rows);
  check_positions(op.sequences, op.cos_sin, op.cos_sin.cols);
  auto part = uint64_t{op.skip} + op.cos_sin.cols;
  CHECK(op.heads > 0);
  CHECK(op.heads == 1 || part <= op.head_stride);
  CHECK((op.heads - 1) * uint64_t{op.head_stride} + part <= op.x.cols);
}

void check(const mla_attention& op) {
  auto rows = op.q.rows;
  auto latent_cols = uint64_t{op.heads} * op.cache.latent;
  CHECK(op.heads > 0);
  CHECK(uint64_t{op.q_rope_skip} + op.cache.rope <= op.q_stride);
  CHECK(std::isfinite(op.scale));
  check_f32(op.q_latent, rows, latent_cols);
  check_f32(op.q, rows, uint64_t{op.heads} * op.q_stride);
  check_f32(op.out, rows, latent_cols);
  check_sequences(op.sequences, rows);
  check_cache(op.cache, op.sequences);
}

void check(const mha_attention& op) {
  auto rows = op.q.rows;
  auto& cache = op.cache;
  CHECK(op.heads > 0);
  CHECK(uint64_t{op.k_b.cols} + cache.rope <= op.q_stride);
  CHECK(std::isfinite(op.scale));
  check_weight(op.k_b, cache.latent, op.k_b.cols);
  check_weight(op.v_b, op.v_b.rows, cache.latent);
  CHECK(op.k_b.groups == op.heads && op.v_b.groups == op.heads);
  CHECK(op.k_b.type == cache.type && op.v_b.type == cache.type);
  check_f32(op.q, rows, uint64_t{op.heads} * op.q_stride);
  check_f32(op.out, rows, uint64_t{op.heads} * op.v_b.rows);
  check_sequences(op.sequences, rows);
  check_cache(cache, op.sequences);
}

void check(const router& op) {
  auto tokens = op.x.rows;
  auto experts = op.w.rows;
  check_f32(op.x, tokens, op.w.cols);
  check_weight(op.w, op.logits.cols, op.x.cols);
  CHECK(is_f32_or_bf16(op.w.type) && op.w.groups == 1);
  if (op.bias)
    check_f32(op.bias, 1, experts);
  CHECK(op.num_groups > 0 && experts % op.num_groups == 0);
  CHECK(op.topk_group > 0 && op.topk_group <= op.num_groups);
  CHECK(op.top_k > 0 && op.top_k <= experts / op.num_groups * op.topk_group);
  check_f32(op.logits, tokens, experts);
  check_tensor(op.experts, dtype::i32, tokens, op.top_k);
  check_f32(op.weights, tokens, op.top_k);
}

void check(const swiglu& op) {
  check_f32(op.gate, op.gate.rows, op.gate.cols);
  check_f32(op.up, op.gate.rows, op.gate.cols);
  check_activation(op.out, op.gate.rows, op.gate.cols);
}

void check_expert(const expert_mlp& op, const expert_weights& expert) {
  auto hidden = op.x.values.cols;
  auto inner = op.middle.values.cols;
  check_weight(expert.gate, inner, hidden);
  check_weight(expert.up, inner, hidden);
  check_weight(expert.down, hidden, inner);
  for (auto w : {&expert.gate, &expert.up, &expert.down}) {
    CHECK(w->groups == 1);
    check_pair(op.x.values.type, w->type);
  }
}

void check(const expert_mlp& op) {
  auto rows = op.row.size();
  auto inner = op.middle.values.cols;
  check_activation(op.x, op.x.values.rows, op.x.values.cols);
  check_indices(op.row, op.x.values.rows);
  uint64_t covered = 0;
  for (auto& g : op.groups) {
    CHECK(g.first == covered);
    covered += g.count;
    if (g.count > 0)
      check_expert(op, g.expert);
  }
  CHECK(covered == rows);
  check_f32(op.gate, rows, inner);
  check_f32(op.up, rows, inner);
  CHECK(op.middle.values.type == op.x.values.type);
  check_activation(op.middle, rows, inner);
  CHECK(is_f32_or_bf16(op.out.type));
  check_tensor(op.out, rows, op.x.values.cols);
}

void check(const combine& op) {
  auto tokens = op.residual.rows;
  auto hidden = op.residual.cols;
  CHECK(is_f32_or_bf16(op.rows.type));
  check_tensor(op.rows, op.rows.rows, hidden);
  check_f32(op.weights, tokens, op.weights.cols);
  CHECK(op.row_of.size() == uint64_t{tokens} * op.weights.cols);
  check_indices(op.row_of, op.rows.rows);
  check_f32(op.residual, tokens, hidden);
  if (op.shared)
    check_f32(op.shared, tokens, hidden);
}

void check_edits(const std::vector<logit_edit>& edits, uint32_t vocab) {
  int64_t last = -1;
  for (auto& x : edits) {
    CHECK(x.id > last && x.id < vocab);
    CHECK(x.repetition > 0);
    last = x.id;
  }
}

void check(const sample& op) {
  check_f32(op.logits, op.logits.rows, op.logits.cols);
  check_tensor(op.ids, dtype::i32, op.draws.size(), 1);
  CHECK(op.logits.cols <= host::max_choices);
  for (auto& x : op.draws) {
    CHECK(x.row < op.logits.rows);
    CHECK(x.num_choices > 0 && x.num_choices <= op.logits.cols);
    CHECK(x.point >> 53 == 0);
    CHECK(x.min_p >= 0 && x.min_p <= 1);
    CHECK(x.given >= no_token && x.given < int64_t{op.logits.cols});
    CHECK(x.given == no_token || x.num_scores > 0);
    CHECK(x.num_scores <= op.scores.cols);
    CHECK(!x.allowed || x.allowed->size() * 64 >= x.num_choices);
    if (x.edits)
      check_edits(*x.edits, op.logits.cols);
  }
  if (!op.scores)
    return;
  check_f32(op.scores, op.draws.size(), op.scores.cols);
  check_tensor(op.score_ids, dtype::i32, op.draws.size(), op.scores.cols);
}

} // namespace

void check_shapes(const operation& op) {
  std::visit([](auto& what) { check(what); }, op);
}

} // namespace troupe::kernels
