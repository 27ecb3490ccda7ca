// linear and grouped_linear on every device.

#include "tests/unit/kernels/device_fixture.hpp"

using namespace troupe::kernels;
using namespace troupe::kernels::test;

namespace {

struct pair_of_types {
  dtype x, w;
};

constexpr pair_of_types pairs[]
  = {{dtype::f8_e4m3, dtype::f8_e4m3}, {dtype::bf16, dtype::f8_e4m3},
     {dtype::bf16, dtype::bf16},       {dtype::f32, dtype::f8_e4m3},
     {dtype::f32, dtype::bf16},        {dtype::f32, dtype::f32}};

double bound(uint32_t k) {
  return 2e-6 * std::sqrt(k);
}

class Products : public on_every_device {
protected:
  void expect_linear(uint32_t tokens, uint32_t n, uint32_t k,
                     pair_of_types types, float scale = 1) {
    SCOPED_TRACE(testing::Message()
                 << tokens << " x " << n << " x " << k << ", types "
                 << int(types.x) << " and " << int(types.w));
    auto x = random_matrix(tokens, k, 10 + k, scale);
    auto raw = random_weight(types.w, n, k, 1, 20 + n, scale);
    expect_close(
      [&](workbench& b) {
        auto out = b.make(dtype::f32, tokens, n);
        b.run(linear{b.put_operand(x, types.x), b.put_weight(raw), {}, out});
        return b.get(out);
      },
      bound(k));
  }
};

TROUPE_ON_EVERY_DEVICE(Products);

TEST_P(Products, MultiplyWithinTheBoundWhateverTheShape) {
  for (auto types : pairs)
    for (uint32_t k : lengths({1, 24, 96, 128, 257, 640}))
      for (uint32_t n : lengths({3, 16, 33, 129, 300}))
        for (uint32_t tokens : {1, 5})
          expect_linear(tokens, n, k, types);
}

// As wide as the largest models are: what tensor cores cut off adds up.
TEST_P(Products, MultiplyLongRowsWithinTheBound) {
  for (auto types : pairs)
    expect_linear(3, 40, 7168, types);
}

TEST_P(Products, MultiplyEveryNumberOfOutputs) {
  for (auto types : pairs)
    for (uint32_t n = 1; n <= 70; ++n)
      expect_linear(2, n, 40, types);
}

TEST_P(Products, MultiplyEveryLengthOfARow) {
  for (auto types : pairs)
    for (uint32_t k = 1; k <= 140; k += 3)
      expect_linear(2, 20, k, types);
}

TEST_P(Products, MultiplyManyRows) {
  for (auto types : pairs)
    for (uint32_t tokens : {7, 31, 64, 100})
      expect_linear(tokens, 50, 272, types);
}

TEST_P(Products, MultiplyLargeAndSmallNumbers) {
  for (auto types : pairs)
    for (float scale : {1e-12f, 1e15f})
      expect_linear(3, 40, 257, types, scale);
}

TEST_P(Products, RowsOfZerosGiveZeros) {
  for (auto types : pairs) {
    auto x = random_matrix(3, 200, 1);
    std::fill_n(x.row(1), 200, 0.0f);
    auto out = bench.make(dtype::f32, 3, 30);
    auto w = bench.put_weight(random_weight(types.w, 30, 200, 1, 2));
    bench.run(linear{bench.put_operand(x, types.x), w, {}, out});
    for (uint32_t n = 0; n < 30; ++n)
      EXPECT_EQ(bench.get(out).row(1)[n], 0);
  }
}

TEST_P(Products, NoRowsAreNoWork) {
  auto w = bench.put_weight(random_weight(dtype::bf16, 30, 200, 1, 2));
  auto x = bench.make_operand(dtype::bf16, 0, 200);
  bench.run(linear{x, w, {}, bench.make(dtype::f32, 0, 30)});
}

TEST_P(Products, ACodeThatIsNotANumberSpoilsItsOutputAlone) {
  auto raw = random_weight(dtype::f8_e4m3, 64, 256, 1, 1);
  constexpr uint32_t spoilt = 37;
  raw.values[spoilt * 256 + 77] = std::byte{0x7f};
  for (uint32_t m : {1, 2, 3, 8, 9, 40}) {
    auto out = bench.make(dtype::f32, m, 64);
    bench.run(
      linear{bench.put_operand(random_matrix(m, 256, m), dtype::f8_e4m3),
             bench.put_weight(raw),
             {},
             out});
    auto got = bench.get(out);
    for (uint32_t r = 0; r < m; ++r)
      for (uint32_t n = 0; n < 64; ++n)
        EXPECT_EQ(std::isnan(got.row(r)[n]), n == spoilt) << m << " rows";
  }
}

TEST_P(Products, EveryTileOfAWeightHasItsOwnScale) {
  // Ones times ones: an output is the sum of its tiles' scales times widths.
  raw_weight raw{dtype::f8_e4m3, 300, 272, 1, {}, {}};
  raw.values.resize(300 * 272, std::byte{host::to_e4m3(1)});
  for (int i = 0; i < 9; ++i)
    raw.scales.push_back(std::ldexp(1.0f, i));
  matrix x{1, 272, std::vector<float>(272, 1)};
  for (auto type : {dtype::f32, dtype::bf16, dtype::f8_e4m3}) {
    auto out = bench.make(dtype::f32, 1, 300);
    auto w = bench.put_weight(raw);
    bench.run(linear{bench.put_operand(x, type), w, {}, out});
    auto got = bench.get(out);
    for (uint32_t n = 0; n < 300; ++n) {
      auto s = &raw.scales[n / 128 * 3];
      EXPECT_NEAR(got.values[n], 128 * s[0] + 128 * s[1] + 16 * s[2],
                  1e-6 * got.values[n]);
    }
  }
}

TEST_P(Products, AddTheResidualAlsoInPlace) {
  auto x = random_matrix(4, 96, 1);
  auto raw = random_weight(dtype::bf16, 40, 96, 1, 2);
  auto residual = random_matrix(4, 40, 3);
  auto plain = bench.make(dtype::f32, 4, 40);
  auto apart = bench.make(dtype::f32, 4, 40);
  auto in_place = bench.put(residual);
  auto operand = bench.put_operand(x, dtype::bf16);
  auto w = bench.put_weight(raw);
  bench.run(linear{operand, w, {}, plain});
  bench.run(linear{operand, w, bench.put(residual), apart});
  bench.run(linear{operand, w, in_place, in_place});
  auto want = bench.get(plain);
  for (size_t i = 0; i < want.values.size(); ++i)
    want.values[i] += residual.values[i];
  EXPECT_TRUE(same_bits(bench.get(apart), want));
  EXPECT_TRUE(same_bits(bench.get(in_place), want));
}

TEST_P(Products, ReadAndWriteColumnsOfWiderMatrices) {
  auto wide_x = random_matrix(3, 200, 1);
  auto raw = random_weight(dtype::f32, 30, 96, 1, 2);
  auto x = bench.put(wide_x).slice_cols(50, 96);
  auto wide_out = bench.put(random_matrix(3, 64, 3));
  auto before = bench.get(wide_out);
  auto dense_out = bench.make(dtype::f32, 3, 30);
  auto dense_x = bench.put(bench.get(x));
  auto w = bench.put_weight(raw);
  bench.run(linear{{x, {}}, w, {}, wide_out.slice_cols(10, 30)});
  bench.run(linear{{dense_x, {}}, w, {}, dense_out});
  auto got = bench.get(wide_out);
  auto want = bench.get(dense_out);
  for (uint32_t t = 0; t < 3; ++t)
    for (uint32_t c = 0; c < 64; ++c)
      EXPECT_EQ(got.row(t)[c],
                c >= 10 && c < 40 ? want.row(t)[c - 10] : before.row(t)[c]);
}

TEST_P(Products, GroupsMultiplyTheirOwnColumns) {
  for (auto type : {dtype::f32, dtype::bf16})
    for (uint32_t groups : {1, 3, 5})
      for (uint32_t k : {1, 24, 96, 128, 257})
        for (uint32_t n : {1, 24, 40, 128}) {
          auto x = random_matrix(3, groups * (k + 8), k);
          auto raw = random_weight(type, n, k, groups, n);
          expect_close(
            [&](workbench& b) {
              auto out = b.make(dtype::f32, 3, groups * n);
              b.run(grouped_linear{b.put(x), k + 8, b.put_weight(raw), out});
              return b.get(out);
            },
            bound(k));
        }
}

TEST_P(Products, GroupedRowsAreRoundedToBf16WithBf16Weights) {
  auto x = random_matrix(3, 96, 1);
  auto raw = random_weight(dtype::bf16, 40, 96, 1, 2);
  auto rounded = x;
  for (auto& v : rounded.values)
    v = host::round_to_bf16(v);
  auto compute = [&](const matrix& m) {
    auto out = bench.make(dtype::f32, 3, 40);
    bench.run(grouped_linear{bench.put(m), 96, bench.put_weight(raw), out});
    return bench.get(out);
  };
  EXPECT_TRUE(same_bits(compute(x), compute(rounded)));
}

} // namespace
