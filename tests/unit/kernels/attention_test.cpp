// append_latent, rotate and mla_attention on every device.

#include "tests/unit/kernels/device_fixture.hpp"

#include <numeric>

using namespace troupe::kernels;
using namespace troupe::kernels::test;

namespace {

constexpr uint32_t num_blocks = 7;

struct sizes {
  uint32_t latent, rope;
};

const auto all_sizes = first_if_sanitized<sizes>(
  4, {{1, 2}, {24, 8}, {96, 16}, {257, 24}, {512, 64}});

class Attention : public on_every_device {};

TROUPE_ON_EVERY_DEVICE(Attention);

std::shared_ptr<const block_table> blocks(std::vector<uint32_t> ids) {
  return std::make_shared<block_table>(std::move(ids));
}

matrix angles(uint32_t positions, uint32_t rope) {
  matrix out{positions, rope, {}};
  for (uint32_t p = 0; p < positions; ++p)
    for (uint32_t i = 0; i < rope / 2; ++i) {
      auto angle = p * std::pow(100.0, -2.0 * i / rope);
      out.values.push_back(float(std::cos(angle)));
      out.values.push_back(float(std::sin(angle)));
    }
  return out;
}

/// The second of three layers; blocks of the others lie in between.
struct cache_on {
  cache_on(workbench& b, dtype type, sizes size) {
    auto width = (size.latent + size.rope) * size_of(type);
    auto block_bytes = uint64_t{width} * latent_cache::block_tokens;
    whole = b.claim(num_blocks * 3 * block_bytes);
    cache.mem = whole.slice(block_bytes, whole.bytes - block_bytes);
    cache.block_stride = 3 * block_bytes;
    cache.type = type;
    cache.latent = size.latent;
    cache.rope = size.rope;
  }

  tensor block(uint32_t i) const {
    auto width = cache.latent + cache.rope;
    return dense(cache.mem.slice(i * cache.block_stride,
                                 uint64_t{width} * size_of(cache.type) * 64),
                 cache.type, 64, width);
  }

  buffer whole;
  latent_cache cache;
};

/// Two sequences, one of which goes on after 60 positions and crosses blocks.
std::vector<sequence_rows> two_sequences() {
  return {{0, 75, 60, blocks({5, 0, 3})}, {75, 5, 0, blocks({6})}};
}

/// Fills a cache with the same numbers on every bench.
void fill(workbench& b, const cache_on& c, float scale = 1) {
  for (uint32_t i = 0; i < num_blocks; ++i) {
    auto t = c.block(i);
    auto src = b.get_bytes(
      b.put(random_matrix(64, t.cols, 90 + i, scale), t.type).mem);
    b.run(copy_in{src.data(), t.mem, nullptr});
  }
}

matrix append(workbench& b, dtype type, sizes size, float scale) {
  cache_on c{b, type, size};
  auto kv = random_matrix(80, size.latent + size.rope, 1, scale);
  auto weight = random_matrix(1, size.latent, 2);
  b.run(append_latent{b.put(kv), b.put(weight), 1e-6f,
                      b.put(angles(140, size.rope)), c.cache, two_sequences()});
  return b.get(
    dense(c.whole, type, num_blocks * 3 * 64, size.latent + size.rope));
}

TEST_P(Attention, AppendsWithinTheBound) {
  for (auto size : all_sizes)
    for (float scale : {1e-3f, 1.0f, 1e4f}) {
      auto got = append(bench, dtype::f32, size, scale);
      auto want = append(reference, dtype::f32, size, scale);
      // Norm and rotation are of different size: compare them apart.
      for (auto [first, count] :
           {std::pair{0u, size.latent}, std::pair{size.latent, size.rope}}) {
        auto part = [first = first, count = count](const matrix& m) {
          matrix out{m.rows, count, {}};
          for (uint32_t r = 0; r < m.rows; ++r)
            out.values.insert(out.values.end(), m.row(r) + first,
                              m.row(r) + first + count);
          return out;
        };
        EXPECT_LE(relative_error(part(got), part(want)), 1e-6);
      }
    }
}

TEST_P(Attention, RoundingIsTheLastStepOfAppending) {
  for (auto size : all_sizes) {
    auto want = append(bench, dtype::f32, size, 1);
    for (auto& x : want.values)
      x = host::round_to_bf16(x);
    EXPECT_TRUE(same_bits(append(bench, dtype::bf16, size, 1), want));
  }
}

TEST_P(Attention, AppendsToItsOwnLayerAndPositionsOnly) {
  auto got = append(bench, dtype::f32, {24, 8}, 1);
  for (uint32_t r = 0; r < got.rows; ++r) {
    auto block = r / 64 / 3, layer = r / 64 % 3, token = r % 64;
    auto written = layer == 1
                   && ((block == 5 && token >= 60) || block == 0
                       || (block == 3 && token < 7)
                       || (block == 6 && token < 5));
    auto is_zero = std::all_of(got.row(r), got.row(r) + got.cols,
                               [](float x) { return x == 0; });
    EXPECT_EQ(is_zero, !written) << block << " " << layer << " " << token;
  }
}

TEST_P(Attention, RotatesTheRopePartOfEachHead) {
  for (uint32_t heads : {1, 3, 5})
    for (uint32_t rope : {2, 8, 24, 64})
      for (uint32_t skip : {0, 5, 24}) {
        auto stride = skip + rope + 3;
        auto x = random_matrix(80, heads * stride, heads);
        auto compute = [&](workbench& b) {
          auto mem = b.put(x);
          b.run(rotate{mem, heads, stride, skip, b.put(angles(140, rope)),
                       two_sequences()});
          return b.get(mem);
        };
        expect_close(compute, 1e-6);
        auto got = compute(bench);
        for (uint32_t t = 0; t < 80; ++t)
          for (uint32_t c = 0; c < x.cols; ++c)
            if (c % stride < skip || c % stride >= skip + rope) {
              EXPECT_EQ(got.row(t)[c], x.row(t)[c]);
            }
      }
}

TEST_P(Attention, PositionZeroIsNotTurned) {
  auto x = random_matrix(1, 8, 1);
  auto mem = bench.put(x);
  bench.run(
    rotate{mem, 1, 8, 0, bench.put(angles(1, 8)), {{0, 1, 0, blocks({0})}}});
  EXPECT_TRUE(same_bits(bench.get(mem), x));
}

matrix attend(workbench& b, dtype type, sizes size, uint32_t heads,
              float scale) {
  cache_on c{b, type, size};
  fill(b, c);
  auto q_stride = size.rope + 11;
  auto q_latent = random_matrix(80, heads * size.latent, 3);
  auto q = random_matrix(80, heads * q_stride, 4);
  auto out = b.make(dtype::f32, 80, heads * size.latent);
  b.run(mla_attention{b.put(q_latent), b.put(q), heads, q_stride, 11, scale,
                      c.cache, two_sequences(), out});
  return b.get(out);
}

double bound(dtype type) {
  return type == dtype::f32 ? 2e-5 : 4e-3;
}

TEST_P(Attention, AttendsWithinTheBound) {
  for (auto type : {dtype::f32, dtype::bf16})
    for (auto size : all_sizes)
      for (uint32_t heads : {1, 3, 5})
        expect_close(
          [&](workbench& b) {
            auto scale = 1 / std::sqrt(float(size.latent + size.rope));
            return attend(b, type, size, heads, scale);
          },
          bound(type));
}

TEST_P(Attention, ManyKeysAreWithinTheBound) {
  // 40 rows, from 480 to 520 positions deep: two splits, then three.
  for (auto type : {dtype::f32, dtype::bf16})
    for (float scale : {0.05f, 1.0f})
      expect_close(
        [&](workbench& b) {
          latent_cache cache;
          cache.type = type;
          cache.latent = 96;
          cache.rope = 16;
          cache.block_stride = 64 * 112 * size_of(type);
          cache.mem = b.put(random_matrix(9 * 64, 112, 1), type).mem;
          auto out = b.make(dtype::f32, 40, 3 * 96);
          b.run(
            mla_attention{b.put(random_matrix(40, 3 * 96, 2)),
                          b.put(random_matrix(40, 3 * 16, 3)),
                          3,
                          16,
                          0,
                          scale,
                          cache,
                          {{0, 40, 480, blocks({8, 1, 7, 2, 6, 3, 5, 4, 0})}},
                          out});
          return b.get(out);
        },
        bound(type));
}

TEST_P(Attention, AttendsToOneKeyWhereScoresAreLarge) {
  for (auto type : {dtype::f32, dtype::bf16})
    expect_close(
      [&](workbench& b) {
        return attend(b, type, {24, 8}, 3, 100);
      },
      type == dtype::f32 ? 1e-3 : 4e-3);
}

TEST_P(Attention, TheFirstPositionGivesItsOwnLatent) {
  for (auto type : {dtype::f32, dtype::bf16}) {
    cache_on c{bench, type, {24, 8}};
    fill(bench, c);
    auto out = bench.make(dtype::f32, 1, 3 * 24);
    bench.run(mla_attention{bench.put(random_matrix(1, 72, 3)),
                            bench.put(random_matrix(1, 24, 4)),
                            3,
                            8,
                            0,
                            0.2f,
                            c.cache,
                            {{0, 1, 0, blocks({4})}},
                            out});
    auto got = bench.get(out);
    auto latent = bench.get(c.block(4));
    for (uint32_t i = 0; i < 72; ++i)
      EXPECT_NEAR(got.values[i], latent.values[i % 24], 1e-6);
  }
}

TEST_P(Attention, EqualScoresGiveTheMeanOfWhatIsSeen) {
  // A query of zeros, 130 keys in three blocks out of order.
  cache_on c{bench, dtype::f32, {8, 2}};
  fill(bench, c);
  auto none = matrix{1, 8, std::vector<float>(8)};
  auto out = bench.make(dtype::f32, 1, 8);
  bench.run(mla_attention{bench.put(none),
                          bench.put({1, 2, {0, 0}}),
                          1,
                          2,
                          0,
                          1,
                          c.cache,
                          {{0, 1, 129, blocks({2, 6, 1})}},
                          out});
  std::vector<double> mean(8);
  for (auto [block, count] : {std::pair{2, 64}, {6, 64}, {1, 2}})
    for (int j = 0; j < count; ++j)
      for (int i = 0; i < 8; ++i)
        mean[i] += bench.get(c.block(block)).row(j)[i] / 130.0;
  for (int i = 0; i < 8; ++i)
    EXPECT_NEAR(bench.get(out).values[i], mean[i], 1e-6);
}

TEST_P(Attention, IsTheSoftmaxOfAllScoresAtOnce) {
  // 100 keys in two blocks; the largest score is in the second.
  cache_on c{bench, dtype::f32, {8, 2}};
  fill(bench, c);
  auto q = random_matrix(1, 10, 11, 0.7f);
  auto q_mem = bench.put(q);
  auto out = bench.make(dtype::f32, 1, 8);
  bench.run(mla_attention{q_mem.slice_cols(0, 8),
                          q_mem.slice_cols(8, 2),
                          1,
                          2,
                          0,
                          0.9f,
                          c.cache,
                          {{0, 1, 99, blocks({6, 1})}},
                          out});
  std::vector<double> sum(8), scores;
  double total = 0;
  for (int j = 0; j < 100; ++j) {
    auto key = bench.get(c.block(j < 64 ? 6 : 1)).pick({uint32_t(j % 64)});
    auto dot = std::inner_product(q.values.begin(), q.values.end(),
                                  key.values.begin(), 0.0);
    scores.push_back(0.9 * dot);
    total += std::exp(scores.back());
    for (int i = 0; i < 8; ++i)
      sum[i] += std::exp(scores.back()) * key.values[i];
  }
  auto best = std::max_element(scores.begin(), scores.end());
  ASSERT_GE(best - scores.begin(), 64) << "choose another seed";
  for (int i = 0; i < 8; ++i)
    EXPECT_NEAR(bench.get(out).values[i], sum[i] / total, 1e-5);
}

TEST_P(Attention, DoesNotSeeWhatLiesBehindARow) {
  // Positions after the row's are NaN: they must not be read into the sums.
  for (auto type : {dtype::f32, dtype::bf16})
    for (uint32_t position : {0, 5, 63, 64, 70}) {
      cache_on c{bench, type, {24, 8}};
      fill(bench, c);
      auto run = [&] {
        auto out = bench.make(dtype::f32, 1, 48);
        bench.run(mla_attention{bench.put(random_matrix(1, 48, 3)),
                                bench.put(random_matrix(1, 16, 4)),
                                2,
                                8,
                                0,
                                0.2f,
                                c.cache,
                                {{0, 1, position, blocks({4, 2})}},
                                out});
        return bench.get(out);
      };
      auto before = run();
      std::vector<unsigned char> nans(64 * 32 * size_of(type), 0xff);
      auto block = c.block(position < 64 ? 4 : 2);
      auto seen = (position % 64 + 1) * block.stride;
      bench.run(copy_in{reinterpret_cast<std::byte*>(nans.data()),
                        block.mem.slice(seen, block.mem.bytes - seen),
                        nullptr});
      EXPECT_TRUE(same_bits(run(), before)) << position;
    }
}

// -- the multi-head form
// -------------------------------------------------------

struct head_sizes {
  sizes cache;
  uint32_t nope, value;
};

const auto all_heads = first_if_sanitized<head_sizes>(3,
                                                      {{{1, 2}, 1, 1},
                                                       {{24, 8}, 16, 24},
                                                       {{97, 16}, 33, 40},
                                                       {{128, 64}, 128, 64}});

constexpr uint32_t mha_blocks = 9;

latent_cache random_cache(workbench& b, dtype type, sizes size) {
  latent_cache out;
  auto width = size.latent + size.rope;
  out.type = type;
  out.latent = size.latent;
  out.rope = size.rope;
  out.block_stride = uint64_t{64} * width * size_of(type);
  out.mem = b.put(random_matrix(mha_blocks * 64, width, 1), type).mem;
  return out;
}

std::shared_ptr<const block_table> some_blocks() {
  return blocks({8, 1, 7, 2, 6, 3, 5, 4, 0});
}

raw_weight k_b_of(const latent_cache& cache, uint32_t nope, uint32_t heads) {
  auto scale = 1 / std::sqrt(float(cache.latent));
  return random_weight(cache.type, cache.latent, nope, heads, 5, scale);
}

raw_weight v_b_of(const latent_cache& cache, uint32_t value, uint32_t heads) {
  auto scale = 1 / std::sqrt(float(cache.latent));
  return random_weight(cache.type, value, cache.latent, heads, 6, scale);
}

matrix attend_mha(workbench& b, dtype type, head_sizes size, uint32_t heads,
                  float scale, const std::vector<sequence_rows>& sequences) {
  mha_attention op;
  op.cache = random_cache(b, type, size.cache);
  auto rows = sequences.back().first_row + sequences.back().num_rows;
  op.q_stride = size.nope + size.cache.rope + 3;
  op.q = b.put(random_matrix(rows, heads * op.q_stride, 4));
  op.heads = heads;
  op.k_b = b.put_weight(k_b_of(op.cache, size.nope, heads));
  op.v_b = b.put_weight(v_b_of(op.cache, size.value, heads));
  op.scale = scale;
  op.sequences = sequences;
  op.out = b.make(dtype::f32, rows, heads * size.value);
  b.run(op);
  return b.get(op.out);
}

TEST_P(Attention, InMultiHeadFormIsWithinTheBound) {
  for (auto type : {dtype::f32, dtype::bf16})
    for (auto size : all_heads)
      for (uint32_t heads : {1, 3})
        expect_close(
          [&](workbench& b) {
            auto scale = 1 / std::sqrt(float(size.nope + size.cache.rope));
            return attend_mha(
              b, type, size, heads, scale,
              {{0, 35, 40, blocks({5, 0, 3})}, {35, 2, 0, blocks({6})}});
          },
          bound(type));
}

TEST_P(Attention, InMultiHeadFormTakesManyKeys) {
  for (auto type : {dtype::f32, dtype::bf16})
    for (float scale : {0.1f, 1.0f})
      expect_close(
        [&](workbench& b) {
          return attend_mha(b, type, {{24, 8}, 16, 24}, 2, scale,
                            {{0, 40, 490, some_blocks()}});
        },
        bound(type));
}

TEST_P(Attention, HasOneMeaningInBothForms) {
  // out = W_v (sum p c) with scores (W_k^T q) . c, and the other way round.
  constexpr uint32_t heads = 3, nope = 16, value = 24, rows = 40;
  constexpr auto type = dtype::f32;
  constexpr sizes size{24, 8};
  std::vector<sequence_rows> sequences{{0, rows, 300, some_blocks()}};
  auto stride = nope + size.rope + 3;
  auto q = bench.put(random_matrix(rows, heads * stride, 4));
  auto cache = random_cache(bench, type, size);
  auto k_b = bench.put_weight(k_b_of(cache, nope, heads));
  auto v_b = bench.put_weight(v_b_of(cache, value, heads));
  auto q_latent = bench.make(type, rows, heads * size.latent);
  auto attended = bench.make(type, rows, heads * size.latent);
  auto out = bench.make(type, rows, heads * value);
  bench.run(grouped_linear{q, stride, k_b, q_latent});
  bench.run(mla_attention{q_latent, q, heads, stride, nope, 0.3f, cache,
                          sequences, attended});
  bench.run(grouped_linear{attended, size.latent, v_b, out});
  auto mha = attend_mha(bench, type, {size, nope, value}, heads, 0.3f,
                        sequences);
  EXPECT_LE(relative_error(bench.get(out), mha), 2e-5);
}

TEST_P(Attention, InMultiHeadFormDoesNotSeeWhatLiesBehindARow) {
  for (auto type : {dtype::f32, dtype::bf16})
    for (uint32_t position : {0, 63, 64, 255, 256, 300}) {
      head_sizes size{{24, 8}, 16, 24};
      std::vector<sequence_rows> one{{0, 1, position, some_blocks()}};
      std::vector<sequence_rows> two{{0, 2, position, some_blocks()}};
      auto alone = attend_mha(bench, type, size, 2, 0.2f, one);
      auto both = attend_mha(bench, type, size, 2, 0.2f, two);
      EXPECT_TRUE(same_bits(both.pick({0}), alone)) << position;
    }
}

} // namespace
