// Copies, embedding, norm and quantisation on every device.

#include "tests/unit/kernels/device_fixture.hpp"

#include <limits>

using namespace troupe::kernels;
using namespace troupe::kernels::test;

namespace {

constexpr dtype operand_types[] = {dtype::f32, dtype::bf16, dtype::f8_e4m3};

class Rows : public on_every_device {};

TROUPE_ON_EVERY_DEVICE(Rows);

/// Rows that quantisation has to get right: zeros, ties, subnormals, the
/// largest numbers, tiles of very different size.
matrix awkward_rows(uint32_t cols) {
  auto out = random_matrix(12, cols, cols);
  auto fill = [&](uint32_t r, auto fn) {
    for (uint32_t c = 0; c < cols; ++c)
      out.row(r)[c] = fn(c, out.row(r)[c]);
  };
  fill(0, [](auto, auto) { return 0.0f; });
  fill(1, [](auto, auto) { return -0.0f; });
  fill(2, [](auto, float x) { return x * 1e-42f; });
  fill(3, [](auto, float x) { return x * 5e37f; });
  fill(4, [](uint32_t c, auto) { return c % 128 == 0 ? 448 : c % 97 * 0.5f; });
  fill(5, [](uint32_t c, float x) { return c == 3 ? x * 1e20f : x; });
  fill(6, [](auto, auto) { return std::numeric_limits<float>::denorm_min(); });
  fill(7, [](uint32_t c, auto) { return c % 2 == 0 ? 3.4e38f : -3.4e38f; });
  fill(8, [](uint32_t c, float x) { return std::ldexp(x, int(c % 60) - 30); });
  return out;
}

TEST_P(Rows, CopiesThereAndBack) {
  for (size_t size : {0, 1, 63, 64, 1000, 100000}) {
    std::vector<std::byte> data(size);
    for (size_t i = 0; i < size; ++i)
      data[i] = std::byte(i * 7 + i / 256);
    auto mem = bench.put_bytes(data.data(), size);
    EXPECT_EQ(bench.get_bytes(mem), data) << size;
  }
}

TEST_P(Rows, GathersRowsOfAnyType) {
  for (auto type : {dtype::f32, dtype::bf16})
    for (uint32_t cols : {1, 24, 257}) {
      auto m = random_matrix(9, cols, 1);
      std::vector<uint32_t> idx{8, 0, 3, 3, 7};
      auto src = bench.put(m, type);
      auto dst = bench.make(type, 5, cols);
      bench.run(gather_rows{src, idx, dst});
      EXPECT_TRUE(same_bits(bench.get(dst), bench.get(src).pick(idx)));
    }
}

TEST_P(Rows, TravellingRowsAreReadInPlace) {
  for (auto type : operand_types)
    for (uint32_t cols : lengths({1, 24, 128, 257, 640})) {
      auto x = bench.put_operand(random_matrix(6, cols, cols), type);
      row_layout layout{type, cols};
      EXPECT_EQ(layout.row_bytes() % 16, 0u);
      std::vector<uint32_t> idx{5, 1, 1, 0};
      std::vector<std::byte> rows(idx.size() * layout.row_bytes(),
                                  std::byte{0xff});
      bench.run(pack_rows{x, idx, rows.data(), nullptr});
      auto view = layout.view(bench.put_bytes(rows.data(), rows.size()), 4);
      EXPECT_TRUE(same_bits(bench.get(view), bench.get(x).pick(idx)));
      for (size_t i = 0; i < idx.size(); ++i)
        for (auto b = cols * size_of(type); b < layout.values_bytes(); ++b)
          EXPECT_EQ(rows[i * layout.row_bytes() + b], std::byte{0});
    }
}

TEST_P(Rows, TravellingRowsGiveTheProductOfTheRowsThatLeft) {
  auto x = bench.put_operand(random_matrix(5, 257, 3), dtype::f8_e4m3);
  auto w = bench.put_weight(random_weight(dtype::f8_e4m3, 40, 257, 1, 4));
  std::vector<uint32_t> idx{4, 2};
  row_layout layout{dtype::f8_e4m3, 257};
  std::vector<std::byte> rows(2 * layout.row_bytes());
  bench.run(pack_rows{x, idx, rows.data(), nullptr});
  auto view = layout.view(bench.put_bytes(rows.data(), rows.size()), 2);
  auto here = bench.make(dtype::f32, 5, 40);
  auto there = bench.make(dtype::f32, 2, 40);
  bench.run(linear{x, w, {}, here});
  bench.run(linear{view, w, {}, there});
  EXPECT_TRUE(same_bits(bench.get(there), bench.get(here).pick(idx)));
}

TEST_P(Rows, EmbedsTokensExactly) {
  for (auto type : {dtype::f32, dtype::bf16})
    for (uint32_t cols : {1, 24, 257}) {
      auto table = bench.put(random_matrix(20, cols, 5), type);
      auto out = bench.make(dtype::f32, 3, cols);
      bench.run(embed{{19, 0, 4}, table, out});
      EXPECT_TRUE(same_bits(bench.get(out), bench.get(table).pick({19, 0, 4})));
    }
}

TEST_P(Rows, NormsWithinTheBound) {
  for (uint32_t cols : lengths({1, 24, 96, 128, 257, 640, 7168}))
    for (float scale : {1e-4f, 1.0f, 1e4f, 1e15f}) {
      auto x = random_matrix(7, cols, cols, scale);
      std::fill_n(x.row(2), cols, 0.0f);
      auto weight = random_matrix(1, cols, 1);
      expect_close(
        [&](workbench& b) {
          auto out = b.make(dtype::f32, 7, cols);
          b.run(rms_norm{b.put(x), b.put(weight), 1e-6f, out, {}});
          return b.get(out);
        },
        1e-6);
    }
}

TEST_P(Rows, NormsInPlace) {
  auto x = bench.put(random_matrix(5, 257, 1));
  auto weight = bench.put(random_matrix(1, 257, 2));
  auto out = bench.make(dtype::f32, 5, 257);
  bench.run(rms_norm{x, weight, 1e-5f, out, {}});
  bench.run(rms_norm{x, weight, 1e-5f, x, {}});
  EXPECT_TRUE(same_bits(bench.get(x), bench.get(out)));
}

TEST_P(Rows, TheOperandOfANormIsItsQuantisedOutput) {
  for (auto type : operand_types)
    for (uint32_t cols : lengths({1, 24, 257, 640})) {
      auto x = bench.put(random_matrix(7, cols, 6));
      auto weight = bench.put(random_matrix(1, cols, 7));
      auto out = bench.make(dtype::f32, 7, cols);
      auto operand = bench.make_operand(type, 7, cols);
      auto alone = bench.make_operand(type, 7, cols);
      auto want = reference.make_operand(type, 7, cols);
      bench.run(rms_norm{x, weight, 1e-6f, out, operand});
      bench.run(rms_norm{x, weight, 1e-6f, {}, alone});
      reference.run(quantize{reference.put(bench.get(out)), want});
      EXPECT_TRUE(same_bits(bench.get(operand), reference.get(want)));
      EXPECT_TRUE(same_bits(bench.get(alone), reference.get(want)));
    }
}

TEST_P(Rows, QuantisesBitForBit) {
  for (auto type : operand_types)
    for (uint32_t cols : lengths({1, 24, 96, 127, 128, 129, 257, 640, 1000})) {
      auto x = awkward_rows(cols);
      auto codes = [&](workbench& b) {
        auto out = b.make_operand(type, x.rows, cols);
        b.run(quantize{b.put(x), out});
        return b.get(out.values);
      };
      auto scales = [&](workbench& b) {
        auto out = b.make_operand(type, x.rows, cols);
        b.run(quantize{b.put(x), out});
        return b.get(out.scales);
      };
      expect_same_bits(codes);
      if (type == dtype::f8_e4m3)
        expect_same_bits(scales);
    }
}

TEST_P(Rows, QuantisesHalfwayCasesBitForBit) {
  // Scale 1: every tie between two codes, and its neighbours.
  std::vector<float> ties;
  for (int code = 0; code < 0x7e; ++code) {
    auto low = host::from_e4m3(uint8_t(code));
    auto half = (low + host::from_e4m3(uint8_t(code + 1))) / 2;
    for (auto x :
         {half, std::nextafter(half, 0.0f), std::nextafter(half, 1e9f)}) {
      ties.push_back(x);
      ties.push_back(-x);
    }
  }
  matrix x{uint32_t(ties.size()), 2, {}};
  for (auto tie : ties)
    x.values.insert(x.values.end(), {448, tie});
  auto mem = bench.put(x);
  auto out = bench.make_operand(dtype::f8_e4m3, x.rows, 2);
  bench.run(quantize{mem, out});
  auto codes = bench.get_bytes(out.values.mem);
  for (size_t i = 0; i < ties.size(); ++i)
    EXPECT_EQ(uint8_t(codes[2 * i + 1]), host::to_e4m3(ties[i])) << ties[i];
}

TEST_P(Rows, QuantisesToBf16TiesToEven) {
  matrix x{1, 4, {1.00390625f, 1.01171875f, -1.00390625f, 1.00390637f}};
  auto out = bench.make_operand(dtype::bf16, 1, 4);
  bench.run(quantize{bench.put(x), out});
  EXPECT_TRUE(
    same_bits(bench.get(out), {1, 4, {1.0f, 1.015625f, -1.0f, 1.0078125f}}));
}

TEST_P(Rows, QuantisedNaNStaysNaN) {
  auto x = random_matrix(1, 256, 1);
  x.values[130] = std::nanf("");
  auto out = bench.make_operand(dtype::f8_e4m3, 1, 256);
  bench.run(quantize{bench.put(x), out});
  auto got = bench.get(out);
  EXPECT_TRUE(std::isnan(got.values[130]));
  EXPECT_EQ(std::count_if(got.values.begin(), got.values.end(),
                          [](auto y) { return std::isnan(y); }),
            1);
}

TEST_P(Rows, NoRowsAreNoWork) {
  auto none = bench.make(dtype::f32, 0, 24);
  auto weight = bench.put(random_matrix(1, 24, 1));
  bench.run(rms_norm{none, weight, 1e-6f, none, {}});
  bench.run(quantize{none, bench.make_operand(dtype::f8_e4m3, 0, 24)});
  bench.run(gather_rows{bench.put(random_matrix(3, 24, 1)), {}, none});
  bench.run(embed{{}, bench.put(random_matrix(3, 24, 1)), none});
  bench.run(pack_rows{{none, {}}, {}, nullptr, nullptr});
}

} // namespace
