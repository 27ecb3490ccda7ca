// append_latent, rotate, mla_attention, mha_attention.

#include "kernels/host/floats.hpp"
#include "kernels/host/host_memory.hpp"
#include "kernels/reference/operations.hpp"
#include "kernels/reference/values.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

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

  /// Adds scores.size() keys, whose values begin at `values`.
  void add(const std::vector<double>* values,
           const std::vector<double>& scores) {
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
        out[c] += p * values[j][c];
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

/// Columns [first, first + count) of the first `num_rows` rows.
std::vector<std::vector<double>> load_columns(const tensor& t,
                                              uint32_t num_rows, uint32_t first,
                                              uint32_t count) {
  std::vector<std::vector<double>> out(num_rows);
  for (uint32_t r = 0; r < num_rows; ++r)
    for (uint32_t c = 0; c < count; ++c)
      out[r].push_back(load(t, r, first + c));
  return out;
}

template <class T>
double product(const std::vector<T>& a, const std::vector<double>& b) {
  double sum = 0;
  for (size_t c = 0; c < a.size(); ++c)
    sum += double{a[c]} * b[c];
  return sum;
}

using rows_of_doubles = std::vector<std::vector<double>>;

/// What rows of a sequence attend to: a key and a value for each position.
struct attended {
  rows_of_doubles keys;
  rows_of_doubles values;
};

/// Softmax over the keys up to `position`, a block at a time.
softmax_sum attend(const attended& to, uint32_t position,
                   const std::vector<float>& q, float scale) {
  softmax_sum sum;
  sum.out.resize(to.values.front().size());
  constexpr auto block_tokens = latent_cache::block_tokens;
  for (uint32_t first = 0; first <= position; first += block_tokens) {
    std::vector<double> scores;
    auto last = std::min(first + block_tokens, position + 1);
    for (auto j = first; j < last; ++j)
      scores.push_back(scale * product(q, to.keys[j]));
    sum.add(to.values.data() + first, scores);
  }
  return sum;
}

/// Columns [first, first + count) of all tokens that rows of `s` see.
rows_of_doubles load_tokens(const latent_cache& cache, const sequence_rows& s,
                            uint32_t first, uint32_t count) {
  rows_of_doubles out;
  auto end = s.first_position + s.num_rows;
  for (uint32_t p = 0; p < end; p += cache.block_tokens) {
    auto rows = load_columns(block_of(cache, s, p),
                             std::min(cache.block_tokens, end - p), first,
                             count);
    out.insert(out.end(), rows.begin(), rows.end());
  }
  return out;
}

void store_head(const tensor& out, uint32_t t, uint32_t h,
                const softmax_sum& sum) {
  auto width = sum.out.size();
  for (size_t c = 0; c < width; ++c)
    store(out, t, h * width + c, static_cast<float>(sum.out[c] / sum.total));
}

/// The keys and values of one head.
attended make_attended(const mha_attention& op, const sequence_rows& s,
                       uint32_t h) {
  auto& cache = op.cache;
  attended out;
  auto latents = load_tokens(cache, s, 0, cache.latent);
  out.keys.resize(latents.size(), std::vector<double>(op.k_b.cols));
  out.values.resize(latents.size());
  for (uint32_t i = 0; i < cache.latent; ++i) {
    auto row = load_row(op.k_b, h, i);
    for (size_t j = 0; j < latents.size(); ++j)
      for (uint32_t c = 0; c < op.k_b.cols; ++c)
        out.keys[j][c] += latents[j][i] * row[c];
  }
  for (uint32_t i = 0; i < op.v_b.rows; ++i) {
    auto row = load_row(op.v_b, h, i);
    for (size_t j = 0; j < latents.size(); ++j)
      out.values[j].push_back(product(row, latents[j]));
  }
  auto ropes = load_tokens(cache, s, cache.latent, cache.rope);
  for (size_t j = 0; j < ropes.size(); ++j)
    out.keys[j].insert(out.keys[j].end(), ropes[j].begin(), ropes[j].end());
  return out;
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
  auto& cache = op.cache;
  for (auto& s : op.sequences) {
    attended to{load_tokens(cache, s, 0, cache.latent + cache.rope),
                load_tokens(cache, s, 0, cache.latent)};
    for_each_row(s, [&](auto t, auto position) {
      for (uint32_t h = 0; h < op.heads; ++h)
        store_head(op.out, t, h,
                   attend(to, position, load_query(op, t, h), op.scale));
    });
  }
}

void run(const mha_attention& op) {
  auto width = op.k_b.cols + op.cache.rope;
  for (auto& s : op.sequences)
    for (uint32_t h = 0; h < op.heads; ++h) {
      auto to = make_attended(op, s, h);
      for_each_row(s, [&](auto t, auto position) {
        auto q = host::row<const float>(op.q, t) + uint64_t{h} * op.q_stride;
        store_head(op.out, t, h,
                   attend(to, position, {q, q + width}, op.scale));
      });
    }
}

} // namespace troupe::kernels::reference
