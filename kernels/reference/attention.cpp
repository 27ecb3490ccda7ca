// append_latent, rotate, mla_attention.

#include "kernels/host/floats.hpp"
#include "kernels/host/host_memory.hpp"
#include "kernels/reference/operations.hpp"
#include "kernels/reference/values.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace troupe::kernels::reference {

namespace {

/// Turns neighbouring pairs; cos_sin: cos and sin of each pair.
void turn(float* x, const float* cos_sin, uint32_t rope) {
  for (uint32_t i = 0; i < rope; i += 2) {
    auto [a, b] = std::pair{x[i], x[i + 1]};
    auto [cos, sin] = std::pair{cos_sin[i], cos_sin[i + 1]};
    x[i] = a * cos - b * sin;
    x[i + 1] = a * sin + b * cos;
  }
}

/// Returns the tokens of the block that holds `position`.
tensor block_of(const latent_cache& cache, const sequence_rows& s,
                uint32_t position) {
  auto block = (*s.blocks)[position / cache.block_tokens];
  auto width = cache.latent + cache.rope;
  auto bytes = uint64_t{cache.block_tokens} * width * size_of(cache.type);
  return dense(cache.mem.slice(block * cache.block_stride, bytes), cache.type,
               cache.block_tokens, width);
}

/// Calls fn(row, position) for every row.
template <class Fn>
void for_each_row(const sequence_rows& s, Fn fn) {
  for (uint32_t i = 0; i < s.num_rows; ++i)
    fn(s.first_row + i, s.first_position + i);
}

/// The running state of one row and head. A new maximum scales down what was
/// summed before.
struct softmax_sum {
  double maximum = -std::numeric_limits<double>::infinity();
  double total = 0;
  std::vector<double> out; ///< [latent]

  /// Adds keys [0, scores.size()) of `keys`.
  void add(const tensor& keys, const std::vector<double>& scores) {
    auto old = maximum;
    maximum = std::max(old, *std::max_element(scores.begin(), scores.end()));
    auto shrink = std::exp(old - maximum);
    total *= shrink;
    for (auto& x : out)
      x *= shrink;
    for (size_t j = 0; j < scores.size(); ++j) {
      auto p = std::exp(scores[j] - maximum);
      total += p;
      for (size_t c = 0; c < out.size(); ++c)
        out[c] += p * load(keys, j, c);
    }
  }
};

/// Returns [latent | rope] of one head's query, as the products read it.
std::vector<float> load_query(const mla_attention& op, uint32_t t, uint32_t h) {
  auto& cache = op.cache;
  auto latent = host::row<const float>(op.q_latent, t)
                + uint64_t{h} * cache.latent;
  auto rope = host::row<const float>(op.q, t) + uint64_t{h} * op.q_stride
              + op.q_rope_skip;
  std::vector<float> q(latent, latent + cache.latent);
  q.insert(q.end(), rope, rope + cache.rope);
  if (cache.type == dtype::bf16)
    for (auto& x : q)
      x = host::round_to_bf16(x);
  return q;
}

double score(const std::vector<float>& q, const tensor& keys, uint32_t j) {
  double sum = 0;
  for (size_t c = 0; c < q.size(); ++c)
    sum += double{q[c]} * load(keys, j, c);
  return sum;
}

void attend(const mla_attention& op, const sequence_rows& s, uint32_t t,
            uint32_t position, uint32_t h) {
  auto q = load_query(op, t, h);
  softmax_sum sum;
  sum.out.resize(op.cache.latent);
  auto block_tokens = op.cache.block_tokens;
  for (uint32_t first = 0; first <= position; first += block_tokens) {
    auto keys = block_of(op.cache, s, first);
    std::vector<double> scores(std::min(block_tokens, position + 1 - first));
    for (uint32_t j = 0; j < scores.size(); ++j)
      scores[j] = op.scale * score(q, keys, j);
    sum.add(keys, scores);
  }
  for (uint32_t c = 0; c < op.cache.latent; ++c)
    store(op.out, t, uint64_t{h} * op.cache.latent + c,
          static_cast<float>(sum.out[c] / sum.total));
}

} // namespace

void run(const append_latent& op) {
  auto& cache = op.cache;
  auto weight = load_row(op.weight, 0);
  auto append = [&](const sequence_rows& s, uint32_t t, uint32_t position) {
    auto x = load_row(op.kv, t);
    normalize(x.data(), weight.data(), cache.latent, op.eps);
    turn(x.data() + cache.latent, host::row<const float>(op.cos_sin, position),
         cache.rope);
    auto block = block_of(cache, s, position);
    for (uint32_t c = 0; c < x.size(); ++c)
      store(block, position % cache.block_tokens, c, x[c]);
  };
  for (auto& s : op.sequences)
    for_each_row(s, [&](auto t, auto position) { append(s, t, position); });
}

void run(const rotate& op) {
  auto turn_heads = [&](uint32_t t, uint32_t position) {
    auto x = host::row<float>(op.x, t) + op.skip;
    auto cos_sin = host::row<const float>(op.cos_sin, position);
    for (uint32_t h = 0; h < op.heads; ++h)
      turn(x + uint64_t{h} * op.head_stride, cos_sin, op.cos_sin.cols);
  };
  for (auto& s : op.sequences)
    for_each_row(s, turn_heads);
}

void run(const mla_attention& op) {
  for (auto& s : op.sequences)
    for_each_row(s, [&](auto t, auto position) {
      for (uint32_t h = 0; h < op.heads; ++h)
        attend(op, s, t, position, h);
    });
}

} // namespace troupe::kernels::reference
