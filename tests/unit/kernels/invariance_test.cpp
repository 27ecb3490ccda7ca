// A row's result depends on that row alone: computed with others, in any
// place, on any number of threads, it has the same bits.

#include "tests/unit/kernels/device_fixture.hpp"

#include <numeric>

using namespace troupe::kernels;
using namespace troupe::kernels::test;

namespace {

using indices = std::vector<uint32_t>;

constexpr uint32_t num_rows = 100;

indices range(uint32_t first, uint32_t count) {
  indices out(count);
  std::iota(out.begin(), out.end(), first);
  return out;
}

/// Each row alone, and rows in batches at other places.
std::vector<indices> batches() {
  if (is_sanitized)
    return {{5}, range(3, 5), range(num_rows - 33, 33)};
  std::vector<indices> out;
  for (uint32_t t = 0; t < num_rows; t += 9)
    out.push_back({t});
  for (uint32_t count : {2, 3, 4, 5, 6, 7, 8, 33}) {
    out.push_back(range(3, count));
    out.push_back(range(num_rows - count, count));
  }
  auto shuffled = range(0, num_rows);
  numbers random{11};
  for (auto i = num_rows - 1; i > 0; --i)
    std::swap(shuffled[i], shuffled[random.below(i + 1)]);
  out.push_back(shuffled);
  return out;
}

class Invariance : public on_every_device {
protected:
  /// compute(bench, rows) returns the results of those rows of the test's data.
  template <class Compute>
  void expect_rows_alone(Compute compute) {
    auto all = compute(bench, range(0, num_rows));
    for (auto& rows : batches())
      ASSERT_TRUE(same_bits(compute(bench, rows), all.pick(rows)))
        << rows.size() << " rows from " << rows[0];
    EXPECT_TRUE(same_bits(compute(two_threads, range(0, num_rows)), all));
    EXPECT_TRUE(same_bits(compute(two_threads, {5}), all.pick({5})));
  }

  workbench two_threads{make_device(GetParam(), 2)};
};

TROUPE_ON_EVERY_DEVICE(Invariance);

struct pair_of_types {
  dtype x, w;
};

constexpr pair_of_types pairs[]
  = {{dtype::f8_e4m3, dtype::f8_e4m3}, {dtype::bf16, dtype::f8_e4m3},
     {dtype::bf16, dtype::bf16},       {dtype::f32, dtype::f8_e4m3},
     {dtype::f32, dtype::bf16},        {dtype::f32, dtype::f32}};

const auto some_shapes = first_if_sanitized<std::pair<uint32_t, uint32_t>>(
  2, {{1, 24}, {33, 257}, {150, 640}, {272, 128}});

TEST_P(Invariance, Linear) {
  for (auto types : pairs)
    for (auto [n, k] : some_shapes) {
      SCOPED_TRACE(testing::Message() << int(types.x) << " " << int(types.w)
                                      << ", " << n << " x " << k);
      auto x = random_matrix(num_rows, k, k);
      auto raw = random_weight(types.w, n, k, 1, n);
      expect_rows_alone([&, n = n](workbench& b, const indices& rows) {
        auto out = b.make(dtype::f32, rows.size(), n);
        b.run(linear{
          b.put_operand(x.pick(rows), types.x), b.put_weight(raw), {}, out});
        return b.get(out);
      });
    }
}

/// Zero, subnormal numbers and the largest ones, everywhere or here and there
/// among normal ones: small batches widen them apart from the others.
TEST_P(Invariance, LinearWithCodesOfEveryKind) {
  constexpr uint32_t n = 72;
  constexpr uint32_t k = 900;
  auto x = random_matrix(num_rows, k, k);
  for (uint32_t one_in : {1, 50, 5000}) {
    auto raw = random_weight(dtype::f8_e4m3, n, k, 1, one_in);
    numbers random{one_in};
    for (auto& code : raw.values) {
      auto magnitude = random.below(0x7f); // all but NaN
      auto normal = 8 + magnitude % 0x77;
      auto sign = random.below(2) * 0x80;
      code = std::byte(sign + (random.below(one_in) == 0 ? magnitude : normal));
    }
    expect_rows_alone([&](workbench& b, const indices& rows) {
      auto out = b.make(dtype::f32, rows.size(), n);
      b.run(linear{b.put_operand(x.pick(rows), dtype::f8_e4m3),
                   b.put_weight(raw),
                   {},
                   out});
      return b.get(out);
    });
  }
}

TEST_P(Invariance, GroupedLinear) {
  for (auto type : {dtype::f32, dtype::bf16})
    for (auto [n, k] : {std::pair{24, 96}, {128, 257}}) {
      auto x = random_matrix(num_rows, 3 * k, k);
      auto raw = random_weight(type, n, k, 3, n);
      expect_rows_alone([&, n = n, k = k](workbench& b, const indices& rows) {
        auto out = b.make(dtype::f32, rows.size(), 3 * n);
        b.run(grouped_linear{b.put(x.pick(rows)), uint64_t(k),
                             b.put_weight(raw), out});
        return b.get(out);
      });
    }
}

TEST_P(Invariance, NormAndSwiglu) {
  for (uint32_t cols : lengths({1, 24, 257, 640})) {
    auto x = random_matrix(num_rows, cols, 1);
    auto up = random_matrix(num_rows, cols, 2);
    auto weight = random_matrix(1, cols, 3);
    expect_rows_alone([&](workbench& b, const indices& rows) {
      auto out = b.make(dtype::f32, rows.size(), cols);
      b.run(rms_norm{b.put(x.pick(rows)), b.put(weight), 1e-6f, out, {}});
      return b.get(out);
    });
    expect_rows_alone([&](workbench& b, const indices& rows) {
      auto out = b.make(dtype::f32, rows.size(), cols);
      b.run(swiglu{b.put(x.pick(rows)), b.put(up.pick(rows)), {out, {}}});
      return b.get(out);
    });
  }
}

TEST_P(Invariance, Router) {
  auto x = random_matrix(num_rows, 257, 1);
  auto raw = random_weight(dtype::bf16, 64, 257, 1, 2, 0.06f);
  expect_rows_alone([&](workbench& b, const indices& rows) {
    router op;
    op.num_groups = 8;
    op.topk_group = 4;
    op.top_k = 8;
    op.x = b.put(x.pick(rows));
    op.w = b.put_weight(raw);
    op.logits = b.make(dtype::f32, rows.size(), 64);
    op.experts = b.make(dtype::i32, rows.size(), 8);
    op.weights = b.make(dtype::f32, rows.size(), 8);
    b.run(op);
    // Side by side, so that all outputs are compared.
    matrix out{uint32_t(rows.size()), 80, {}};
    auto parts = {b.get(op.logits), b.get(op.experts), b.get(op.weights)};
    for (uint32_t t = 0; t < rows.size(); ++t)
      for (auto& m : parts)
        out.values.insert(out.values.end(), m.row(t), m.row(t) + m.cols);
    return out;
  });
}

TEST_P(Invariance, ExpertMlp) {
  for (auto types : pairs) {
    constexpr uint32_t hidden = 144, inner = 272;
    SCOPED_TRACE(testing::Message() << int(types.x) << " " << int(types.w));
    auto x = random_matrix(num_rows, hidden, 1);
    auto gate = random_weight(types.w, inner, hidden, 1, 2, 0.1f);
    auto up = random_weight(types.w, inner, hidden, 1, 3, 0.1f);
    auto down = random_weight(types.w, hidden, inner, 1, 4, 0.1f);
    expect_rows_alone([&](workbench& b, const indices& rows) {
      auto count = uint32_t(rows.size());
      expert_mlp op;
      op.x = b.put_operand(x, types.x);
      op.row = rows;
      op.groups = {
        {{b.put_weight(gate), b.put_weight(up), b.put_weight(down)}, 0, count}};
      op.gate = b.make(dtype::f32, count, inner);
      op.up = b.make(dtype::f32, count, inner);
      op.middle = b.make_operand(types.x, count, inner);
      op.out = b.make(dtype::f32, count, hidden);
      b.run(op);
      return b.get(op.out);
    });
  }
}

TEST_P(Invariance, Sample) {
  constexpr uint32_t vocab = 1500;
  auto logits = random_matrix(num_rows, vocab, 1, 3);
  expect_rows_alone([&](workbench& b, const indices& rows) {
    auto count = uint32_t(rows.size());
    sample op{b.put(logits.pick(rows)), {}, b.make(dtype::i32, count, 1)};
    for (uint32_t i = 0; i < count; ++i) {
      numbers random{rows[i]};
      op.draws.push_back({i, vocab, 0.6f, 0.95f, 0, random.next() >> 11});
    }
    b.run(op);
    return b.get(op.ids);
  });
}

// -- attention ----------------------------------------------------------------

constexpr uint32_t latent = 96, rope = 16, heads = 5;

constexpr uint32_t nope = 24, value = 40;

enum class form { absorbed, multi_head };

matrix attend(workbench& b, form how, const latent_cache& cache,
              const std::vector<sequence_rows>& s, const indices& rows) {
  auto q = b.put(random_matrix(num_rows, heads * (nope + rope), 3).pick(rows));
  if (how == form::multi_head) {
    auto k_b = random_weight(cache.type, latent, nope, heads, 7, 0.1f);
    auto v_b = random_weight(cache.type, value, latent, heads, 8, 0.1f);
    auto out = b.make(dtype::f32, rows.size(), heads * value);
    b.run(mha_attention{q, heads, nope + rope, b.put_weight(k_b),
                        b.put_weight(v_b), 0.1f, cache, s, out});
    return b.get(out);
  }
  auto q_latent = b.put(random_matrix(num_rows, heads * latent, 2).pick(rows));
  auto out = b.make(dtype::f32, rows.size(), heads * latent);
  b.run(
    mla_attention{q_latent, q, heads, nope + rope, nope, 0.1f, cache, s, out});
  return b.get(out);
}

/// Rows [first, end) of one sequence, in chunks, after `before` positions of
/// other keys; keys of positions before a chunk come from earlier ones.
matrix attend_in_chunks(workbench& b, form how, dtype type, uint32_t before,
                        const std::vector<uint32_t>& ends) {
  latent_cache cache;
  cache.type = type;
  cache.latent = latent;
  cache.rope = rope;
  cache.block_stride = 64 * (latent + rope) * size_of(type);
  cache.mem = b.put(random_matrix(12 * 64, latent + rope, 6), type).mem;
  auto blocks = std::make_shared<block_table>(
    block_table{3, 1, 0, 2, 11, 10, 4, 9, 8, 5, 7});
  auto kv = random_matrix(num_rows, latent + rope, 1);
  auto cos_sin = b.put(random_matrix(before + num_rows, rope, 4));
  auto weight = b.put(random_matrix(1, latent, 5));
  matrix out;
  for (uint32_t first = 0; auto end : ends) {
    auto rows = range(first, end - first);
    std::vector<sequence_rows> s{{0, end - first, before + first, blocks}};
    b.run(
      append_latent{b.put(kv.pick(rows)), weight, 1e-6f, cos_sin, cache, s});
    auto got = attend(b, how, cache, s, rows);
    out.values.insert(out.values.end(), got.values.begin(), got.values.end());
    out.rows += got.rows;
    out.cols = got.cols;
    first = end;
  }
  return out;
}

class AttentionInvariance : public Invariance {
protected:
  void expect_chunks_alike(form how, dtype type, uint32_t before) {
    auto whole = attend_in_chunks(bench, how, type, before, {100});
    // One by one is slow where each chunk makes all keys anew.
    auto singly = how == form::absorbed ? range(1, 100)
                                        : indices{1, 2, 57, 58, 59, 100};
    for (auto& ends : first_if_sanitized<indices>(2, {{63, 65, 100},
                                                      {7, 98, 100},
                                                      {33, 100},
                                                      {64, 100},
                                                      {56, 58, 100},
                                                      singly}))
      EXPECT_TRUE(
        same_bits(attend_in_chunks(bench, how, type, before, ends), whole));
    EXPECT_TRUE(same_bits(
      attend_in_chunks(two_threads, how, type, before, {50, 100}), whole));
  }
};

TROUPE_ON_EVERY_DEVICE(AttentionInvariance);

// 100 rows at the beginning, over the end of a split of keys, and far behind.
TEST_P(AttentionInvariance, AChunkOfASequenceMayEndAnywhere) {
  for (auto how : {form::absorbed, form::multi_head})
    for (auto type : {dtype::f32, dtype::bf16})
      for (auto before : first_if_sanitized<uint32_t>(1, {199, 0, 470}))
        expect_chunks_alike(how, type, before);
}

TEST_P(AttentionInvariance, SequencesDoNotSeeEachOther) {
  for (auto how : {form::absorbed, form::multi_head})
    for (auto type : {dtype::f32, dtype::bf16}) {
      latent_cache cache;
      cache.type = type;
      cache.latent = latent;
      cache.rope = rope;
      cache.block_stride = 64 * (latent + rope) * size_of(type);
      cache.mem = bench.put(random_matrix(6 * 64, latent + rope, 1), type).mem;
      auto run = [&](const std::vector<sequence_rows>& s, const indices& rows) {
        return attend(bench, how, cache, s, rows);
      };
      auto a = std::make_shared<block_table>(block_table{0, 4, 2});
      auto b = std::make_shared<block_table>(block_table{5, 4});
      auto both = run({{0, 3, 150, a}, {3, 7, 60, b}}, range(0, 10));
      EXPECT_TRUE(
        same_bits(run({{0, 3, 150, a}}, range(0, 3)), both.pick(range(0, 3))));
      EXPECT_TRUE(
        same_bits(run({{0, 7, 60, b}}, range(3, 7)), both.pick(range(3, 7))));
      EXPECT_TRUE(same_bits(run({{0, 1, 152, a}}, {2}), both.pick({2})));
    }
}

} // namespace
