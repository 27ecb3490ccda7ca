#pragma once

/// The operations of the model: each once, with shapes, formula, error bound
/// and cost. `reference/` defines them in plain loops; `cpu/` and others must
/// agree with it within the bounds written here (tests/unit/kernels).
///
/// Rules for every operation:
/// - Shapes stand beside the arguments. The caller owns all memory.
/// - A row's result depends on that row alone: not on its neighbours, on the
///   number of rows, on its place in the batch, nor on the number of threads.
///   Sums over K have one FP32 accumulator per output and K ascends.
/// - Vectors of indices are host data that the operation owns.
/// - Wrong shapes are bugs (CHECK at enqueue).
/// - "rel" below is the largest error over a row divided by the row's RMS,
///   for inputs of ordinary size.

#include "kernels/tensor.hpp"

#include <cstddef>
#include <memory>
#include <string_view>
#include <variant>
#include <vector>

namespace troupe::kernels {

// -- copies -------------------------------------------------------------------

/// Host to device. bytes = dst.bytes.
struct copy_in {
  const std::byte* src = nullptr;
  buffer dst;
  std::shared_ptr<const void> keep_alive; ///< Held until the copy has ended.
};

/// Device to host. bytes = src.bytes.
struct copy_out {
  buffer src;
  std::byte* dst = nullptr;
  std::shared_ptr<const void> keep_alive;
};

/// Rows of an operand into host memory, in the form in which they travel:
/// dst + i * row_bytes = values of row idx[i], zeros up to a multiple of 16
/// bytes, then its scales. See row_layout.
struct pack_rows {
  activation x; ///< [rows, cols]
  std::vector<uint32_t> idx;
  std::byte* dst = nullptr; ///< [idx.size(), row_bytes]
  std::shared_ptr<const void> keep_alive;
};

/// dst[i] = src[idx[i]]
struct gather_rows {
  tensor src; ///< [rows, cols]
  std::vector<uint32_t> idx;
  tensor dst; ///< [idx.size(), cols], same type
};

/// Where things lie in a travelling row.
struct row_layout {
  dtype type = dtype::f32;
  uint32_t cols = 0;

  /// Bytes up to the scales.
  uint32_t values_bytes() const {
    return (cols * size_of(type) + 15) / 16 * 16;
  }

  uint32_t row_bytes() const {
    auto scales = type == dtype::f8_e4m3 ? num_scale_blocks(cols) * 4 : 0;
    return (values_bytes() + scales + 15) / 16 * 16;
  }

  /// Returns `num_rows` travelling rows at the beginning of `mem` as an
  /// operand.
  activation view(buffer mem, uint32_t num_rows) const {
    activation out;
    out.values = {mem, type, num_rows, cols, row_bytes()};
    if (type == dtype::f8_e4m3)
      out.scales = {mem.slice(values_bytes(), mem.bytes - values_bytes()),
                    dtype::f32, num_rows, num_scale_blocks(cols), row_bytes()};
    return out;
  }
};

// -- weights ------------------------------------------------------------------

/// Packs a stack of matrices once, at load. `src` holds groups * rows * cols
/// values of dst.type, row-major, at any address. With f8_e4m3, `scales` holds
/// for each group [ceil(rows / 128), ceil(cols / 128)] factors that multiply.
/// One operation may pack some rows alone, the same ones of every matrix; it
/// reads no others. Exact.
struct pack_weight {
  const std::byte* src = nullptr;
  const float* scales = nullptr; ///< Only with f8_e4m3.
  weight dst;
  std::shared_ptr<const void> keep_alive;
  uint32_t first_row = 0; ///< Multiple of 128.
  uint32_t num_rows = 0;  ///< Multiple of 128, or up to the last; 0: all.

  /// Where the rows that are packed end.
  uint32_t end_row() const {
    return num_rows == 0 ? dst.rows : first_row + num_rows;
  }
};

// -- rows ---------------------------------------------------------------------

/// out[t] = table[ids[t]]. Exact.
struct embed {
  std::vector<int32_t> ids; ///< [tokens], each in [0, table.rows)
  tensor table;             ///< [vocab, hidden] bf16 or f32
  tensor out;               ///< [tokens, hidden] f32
};

/// y[t] = x[t] / sqrt(mean(x[t]^2) + eps) * weight, written as FP32 and/or as
/// an operand (quantised as by `quantize`). FP32: rel 1e-6.
struct rms_norm {
  tensor x;      ///< [tokens, hidden] f32
  tensor weight; ///< [1, hidden] f32
  float eps = 1e-6f;
  tensor out;         ///< [tokens, hidden] f32, may be x; or empty
  activation operand; ///< [tokens, hidden]; or empty
};

/// Turns rows into an operand. bf16: to nearest, ties to even. f8_e4m3: per
/// row and 128-wide tile scale = max|x| / 448 in FP32 (0 for a tile of zeros,
/// whose codes are 0), code = e4m3(x / scale) to nearest, ties to even. Exact:
/// every device gives the same bits. [DeepSeek-V3 report, section 3.3.2]
struct quantize {
  tensor x;       ///< [tokens, cols] f32
  activation out; ///< [tokens, cols]
};

// -- products -----------------------------------------------------------------

/// out = x W^T (+ residual).
/// Operands: f8 x with f8 W; bf16 x with f8 or bf16 W; f32 x with any W.
/// With f8 W: out = sum over 128-wide blocks b of K, ascending, of
/// (sum over k in b of x[k] w[k]) * (x scale of b) * (w scale of b).
/// rel 2e-6 sqrt(K).
struct linear {
  activation x;    ///< [tokens, K]
  weight w;        ///< [N, K], groups = 1
  tensor residual; ///< [tokens, N] f32, may be `out`; or empty
  tensor out;      ///< [tokens, N] f32
};

/// out[t, g] = x[t, g] W_g^T for each group g: the per-head products of
/// absorbed MLA. Not scaled: W is bf16 or f32. With bf16 W, x is rounded to
/// bf16 first. rel 2e-6 sqrt(K).
struct grouped_linear {
  tensor x;              ///< [tokens, ...] f32
  uint64_t x_stride = 0; ///< Elements from one group's K columns to the next's.
  weight w;              ///< groups x [N, K]
  tensor out;            ///< [tokens, groups * N] f32
};

// -- attention ----------------------------------------------------------------

/// The latent cache of one layer: blocks of `block_tokens` tokens; a token is
/// [latent | rope] values. Block b of this layer starts at
/// mem.offset + b * block_stride.
struct latent_cache {
  static constexpr uint32_t block_tokens = 64;

  buffer mem;
  uint64_t block_stride = 0; ///< Bytes; other layers lie in between.
  dtype type = dtype::bf16;  ///< bf16 or f32
  uint32_t latent = 0;       ///< kv_lora_rank
  uint32_t rope = 0;         ///< qk_rope_head_dim
};

using block_table = std::vector<uint32_t>;

/// Rows of one sequence in a batch: rows [first_row, first_row + num_rows) are
/// its positions [first_position, first_position + num_rows).
struct sequence_rows {
  uint32_t first_row = 0;
  uint32_t num_rows = 0;
  uint32_t first_position = 0;
  /// Block of each 64 positions, long enough for the last row.
  std::shared_ptr<const block_table> blocks;
};

/// Normalises the latent part of each row, rotates the rope part and appends
/// both to the cache at the row's position:
/// cache[p] = [rms_norm(kv[:latent]) * weight | rotate(kv[latent:], p)].
/// rotate: pairs (2i, 2i + 1) by cos_sin[p, 2i] and cos_sin[p, 2i + 1].
/// Rounding to the cache's type is the last step. rel 1e-6.
struct append_latent {
  tensor kv;     ///< [tokens, latent + rope] f32
  tensor weight; ///< [1, latent] f32
  float eps = 1e-6f;
  tensor cos_sin; ///< [positions, rope] f32: cos, sin of each pair
  latent_cache cache;
  std::vector<sequence_rows> sequences; ///< Cover all rows in order.
};

/// Rotates in place: the `rope` columns that follow `skip` columns of each
/// head, heads `head_stride` columns apart. rel 1e-6.
struct rotate {
  tensor x; ///< [tokens, ...] f32
  uint32_t heads = 0;
  uint32_t head_stride = 0;
  uint32_t skip = 0;
  tensor cos_sin; ///< [positions, rope] f32
  std::vector<sequence_rows> sequences;
};

/// Absorbed multi-head latent attention, causal:
/// s[j] = scale * (q_latent[t, h] . latent[j] + q_rope[t, h] . rope[j]),
/// out[t, h] = sum_j softmax(s)[j] latent[j], j = 0 .. position of t.
/// Keys are taken 64 at a time at absolute positions, with a running maximum,
/// so that a chunk may end anywhere. With a bf16 cache q is rounded to bf16
/// first. rel 2e-5 (f32 cache), 4e-3 (bf16). [FlashMLA]
struct mla_attention {
  tensor q_latent; ///< [tokens, heads * latent] f32
  tensor q;        ///< [tokens, heads * q_stride] f32; its rope parts are read
  uint32_t heads = 0;
  uint32_t q_stride = 0;    ///< Columns from one head of q to the next.
  uint32_t q_rope_skip = 0; ///< Columns of a head before its rope part.
  float scale = 1;
  latent_cache cache;
  std::vector<sequence_rows> sequences;
  tensor out; ///< [tokens, heads * latent] f32
};

/// The same attention in multi-head form, causal: keys and values of each head
/// are made from the latents,
/// k[j, h] = [latent[j] W_k[h] | rope[j]], v[j, h] = W_v[h] latent[j],
/// s[j] = scale * q[t, h] . k[j, h], out[t, h] = sum_j softmax(s)[j] v[j, h].
/// Exactly computed it is what mla_attention gives between the products by W_k
/// and W_v; it takes 2 (nope + rope + v) instead of 2 (2 latent + rope) FLOPs
/// for each row, key and head, and 2 latent (nope + v) once for each key and
/// head of a sequence. rel 2e-5 (f32 cache), 4e-3 (bf16, where a device may
/// round q, k and v to bf16). [DeepSeek-V2 report, section 2.1]
struct mha_attention {
  tensor q; ///< [tokens, heads * q_stride] f32; of each head [nope | rope]
  uint32_t heads = 0;
  uint32_t q_stride = 0; ///< Columns from one head of q to the next.
  weight k_b;            ///< heads x [latent, nope], in the cache's type
  weight v_b;            ///< heads x [v, latent], likewise
  float scale = 1;
  latent_cache cache;
  std::vector<sequence_rows> sequences;
  tensor out; ///< [tokens, heads * v] f32
};

// -- mixture of experts -------------------------------------------------------

enum class scoring : uint8_t { sigmoid, softmax };
enum class group_score : uint8_t { sum_of_best_two, best };

/// Chooses experts, best selection score first, ties to the lower id.
/// s = scoring(x W^T) in FP32; choice = s + bias; the `topk_group` groups of
/// best group score stay, others are masked with -inf; top_k of choice;
/// weight = s of the chosen, / (sum + 1e-20) if normalize, * scaling.
/// [DeepSeek-V3 report, eq. 16; DeepSeek-V2]
struct router {
  tensor x;    ///< [tokens, hidden] f32
  weight w;    ///< [experts, hidden] bf16 or f32; the product is FP32
  tensor bias; ///< [1, experts] f32, or empty
  scoring score = scoring::sigmoid;
  group_score group = group_score::sum_of_best_two;
  uint32_t num_groups = 1;
  uint32_t topk_group = 1;
  uint32_t top_k = 1;
  bool normalize = true;
  float scaling = 1;
  tensor logits;  ///< [tokens, experts] f32: scratch
  tensor experts; ///< [tokens, top_k] i32
  tensor weights; ///< [tokens, top_k] f32
};

/// out = silu(gate) * up, as an operand. silu(x) = x / (1 + exp(-x)).
/// rel 1e-6 before quantisation.
struct swiglu {
  tensor gate; ///< [rows, inner] f32
  tensor up;   ///< [rows, inner] f32
  activation out;
};

struct expert_weights {
  weight gate; ///< [inner, hidden]
  weight up;   ///< [inner, hidden]
  weight down; ///< [hidden, inner]
};

/// The MLPs of several experts in one go: row i of the output is
/// down(swiglu(gate(x[row[i]]), up(x[row[i]]))) of its group's expert, the
/// intermediate quantised to the operand's own format. Also used with one
/// group for dense layers and the shared expert.
struct expert_mlp {
  struct group {
    expert_weights expert;
    uint32_t first = 0; ///< Rows [first, first + count) of row, sorted.
    uint32_t count = 0;
  };

  activation x;              ///< [*, hidden]
  std::vector<uint32_t> row; ///< [rows] index into x
  std::vector<group> groups; ///< Cover `row` without gaps, ascending.
  tensor gate;               ///< [rows, inner] f32: scratch
  tensor up;                 ///< [rows, inner] f32: scratch
  activation middle;         ///< [rows, inner]: scratch, format of x
  tensor out;                ///< [rows, hidden] f32 or bf16
};

/// residual[t] += (sum over i of weights[t, i] * rows[row_of[t * k + i]])
///                + shared[t], in FP32 and in this order:
/// acc = 0; acc = fma(w_i, row_i, acc) for i ascending; acc + shared;
/// residual + acc. Exact: every device gives the same bits.
struct combine {
  tensor rows;                  ///< [*, hidden] bf16 or f32
  std::vector<uint32_t> row_of; ///< [tokens * k]
  tensor weights;               ///< [tokens, k] f32
  tensor shared;                ///< [tokens, hidden] f32, or empty
  tensor residual;              ///< [tokens, hidden] f32, in and out
};

// -- sampling -----------------------------------------------------------------

/// What `sample` gives where no token can be chosen.
constexpr int32_t no_token = -1;

/// What becomes of a logit before a token is chosen, in IEEE singles: `bias` is
/// added; the sum is divided by `repetition` if it is above 0, else multiplied
/// by it; `penalty` is subtracted. A bias of -infinity forbids the id.
struct logit_edit {
  uint32_t id = 0;
  float bias = 0;
  float repetition = 1; ///< Above 0.
  float penalty = 0;
};

/// How a token is chosen from a row of logits, and what is to be known of it.
struct draw {
  uint32_t row = 0;         ///< Of the logits.
  uint32_t num_choices = 0; ///< Ids below this may be chosen; 1 .. vocab.
  float temperature = 1;    ///< 0 or less: the largest, ties to the lowest id.
  float top_p = 1;          ///< (0, 1]
  uint32_t top_k = 0;       ///< 0: all.
  uint64_t point = 0;       ///< Uniform in [0, 2^53).
  float min_p = 0;          ///< [0, 1], of the largest probability.
  /// Ascending by id; null: none.
  std::shared_ptr<const std::vector<logit_edit>> edits = nullptr;
  /// Bit i % 64 of number i / 64: id i may be chosen. Null: all may.
  std::shared_ptr<const std::vector<uint64_t>> allowed = nullptr;
  int32_t given = no_token; ///< The token, where nothing is chosen.
  uint32_t num_scores = 0;  ///< 0: none; else of the token and the largest.
};

/// ids[i] = the token that draws[i] chooses, or the one that is given; no_token
/// if one of its logits is NaN or the largest is infinite. Ids that are not
/// allowed are as if their bias were -infinity. With a temperature
/// the softmax of logits / temperature, restricted to those that have at least
/// min_p of the largest, then to the top_k largest, then to the smallest set of
/// largest ones that has at least top_p of what is left, ties in order of id,
/// is inverted at `point`, in order of id. Weights are whole numbers
/// (host/token_weights.hpp), so that no sum depends on its order; ids of less
/// than 2^-39 of the largest weight have none.
///
/// Scores are natural logarithms of the probabilities of all choices before
/// any edit, at temperature 1: first the token's, then those of the largest
/// logits, ties in order of id; no_token where there are no more choices.
///
/// Exact: every device gives the same bits. Time is linear in the vocabulary.
struct sample {
  tensor logits; ///< [rows, vocab] f32, vocab <= 2^24
  std::vector<draw> draws;
  tensor ids;            ///< [draws, 1] i32
  tensor scores = {};    ///< [draws, n] f32, n >= num_scores; empty: none.
  tensor score_ids = {}; ///< [draws, n] i32, of whom they are.
};

// -- all of them --------------------------------------------------------------

using operation
  = std::variant<copy_in, copy_out, pack_rows, gather_rows, pack_weight, embed,
                 rms_norm, quantize, linear, grouped_linear, append_latent,
                 rotate, mla_attention, mha_attention, router, swiglu,
                 expert_mlp, combine, sample>;

/// Returns the name as written above, e.g. "expert_mlp".
std::string_view name_of(const operation& op);

/// What an operation has to move and to compute at least: every byte of its
/// operands once (weights in their stored type), multiply and add as two.
struct cost {
  uint64_t bytes = 0;
  uint64_t flops = 0;
};

cost cost_of(const operation& op);

/// CHECKs the shapes of `op`; every device calls it at enqueue.
void check_shapes(const operation& op);

} // namespace troupe::kernels
