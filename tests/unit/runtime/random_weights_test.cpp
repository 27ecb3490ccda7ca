/// The generator against numbers of another one: the formulas at the head of
/// random_weights.hpp in Python with numpy, and the normal distribution of its
/// standard library (statistics.NormalDist().inv_cdf). Every literal is the
/// FNV-1a of a whole tensor's bytes as they came from there.

#include "runtime/convert/random_weights.hpp"

#include "runtime/fnv.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

namespace troupe {
namespace {

constexpr uint64_t usual_seed = 20261122;

uint64_t num_elements(const random_tensor& x) {
  if (x.kind != random_kind::scales)
    return x.rows * x.cols;
  return (x.rows + 127) / 128 * ((x.cols + 127) / 128);
}

std::vector<std::byte> bytes_of(const random_tensor& x,
                                uint64_t seed = usual_seed) {
  std::vector<std::byte> out(num_elements(x) * element_bytes(x.kind));
  random_weights{seed}.fill(x, 0, out);
  return out;
}

/// A linear weight in both forms.
struct linear_case {
  const char* name;
  uint64_t rows, cols;
  uint64_t codes, scales, values;
};

class Linear : public testing::TestWithParam<linear_case> {
protected:
  uint64_t hash(random_kind kind) const {
    auto& x = GetParam();
    return fnv_1a(
      bytes_of({x.name, kind, x.rows, x.cols, random_exponent(x.cols)}));
  }
};

} // namespace

TEST(RandomWeights, HaveTheCodesOfTheNormalDistribution) {
  random_weights weights{0};
  EXPECT_EQ(fnv_1a(std::as_bytes(weights.codes())), 0xeeb0d195bf9b7b83u);
}

TEST(RandomWeights, InvertTheNormalDistributionToItsLastDigits) {
  for (auto p : {1e-300, 1e-20, 1e-7, 0.01, 0.0751, 0.2, 0.4999, 0.5}) {
    auto x = inverse_normal(p);
    EXPECT_NEAR(std::erfc(-x / std::sqrt(2)) / 2 / p, 1, 1e-12) << p;
  }
  for (auto p : {0.01, 0.0751, 0.2, 0.4999})
    EXPECT_NEAR(inverse_normal(p), -inverse_normal(1 - p), 1e-13) << p;
}

TEST_P(Linear, IsTheSameAsElsewhere) {
  auto& x = GetParam();
  EXPECT_EQ(hash(random_kind::codes), x.codes);
  EXPECT_EQ(hash(random_kind::scales), x.scales);
  EXPECT_EQ(hash(random_kind::values), x.values);
}

INSTANTIATE_TEST_SUITE_P(
  RandomWeights, Linear,
  testing::Values(
    linear_case{"model.layers.1.mlp.experts.0.down_proj.weight", 256, 128,
                0xc0c07078eb6f1dfc, 0x4731a3c29ebe2585, 0xbf238e5c2a1c5927},
    linear_case{"model.layers.0.self_attn.kv_a_proj_with_mqa.weight", 160, 256,
                0xdba2d2c30afb0725, 0xba1803496ccaa565, 0x2445a21944c221d5},
    linear_case{"odd", 130, 257, 0x1bc07abd9e4549d3, 0x0f64fc28ba544545,
                0x6bb123fda96291da}));

TEST(RandomWeights, TablesNormsAndBiasesAreTheSameAsElsewhere) {
  auto hash = [](const random_tensor& x) { return fnv_1a(bytes_of(x)); };
  auto table = random_kind::table;
  EXPECT_EQ(hash({"model.embed_tokens.weight", table, 64, 256, -6}),
            0x743f1a98a9383e8fu);
  EXPECT_EQ(
    hash({"lm_head.weight", table, 64, 256, random_exponent(256, true)}),
    0x7874eafb693c8122u);
  EXPECT_EQ(
    hash({"lm_head.weight", table, 64, 128, random_exponent(128, true)}),
    0xc7d6d461123819b2u);
  EXPECT_EQ(hash({"model.layers.1.mlp.gate.weight", table, 32, 256,
                  random_exponent(256)}),
            0x1fa4fe97c85f8a00u);
  EXPECT_EQ(hash({"model.norm.weight", random_kind::norm, 1, 256}),
            0xbb2c1ade49d9a98au);
  EXPECT_EQ(hash({"model.layers.1.mlp.gate.e_score_correction_bias",
                  random_kind::bias, 1, 32}),
            0x54050912b0490645u);
}

TEST(RandomWeights, DependOnTheSeed) {
  random_tensor x{"odd", random_kind::codes, 130, 257, 0};
  EXPECT_EQ(fnv_1a(bytes_of(x, 7)), 0x7e68ff2216e684dau);
}

// As round(log2(gain / sqrt(n) / 64)) gives it, ties to even.
TEST(RandomWeights, RoundExponentsToNearestEven) {
  const std::vector<std::array<int, 3>> expected
    = {{1, -6, -5},      {2, -6, -6},      {3, -7, -6},      {8, -8, -6},
       {32, -8, -8},     {33, -9, -8},     {128, -10, -8},   {200, -10, -9},
       {256, -10, -9},   {512, -10, -10},  {1000, -11, -10}, {1408, -11, -10},
       {2048, -12, -10}, {8192, -12, -12}, {10944, -13, -12}};
  for (auto [n, plain, doubled] : expected) {
    EXPECT_EQ(random_exponent(static_cast<uint64_t>(n)), plain) << n;
    EXPECT_EQ(random_exponent(static_cast<uint64_t>(n), true), doubled) << n;
  }
}

TEST(RandomWeights, AnyPartIsThatPartOfTheWhole) {
  random_weights weights{usual_seed};
  for (auto kind : {random_kind::codes, random_kind::scales,
                    random_kind::values, random_kind::table}) {
    random_tensor x{"odd", kind, 130, 1157, -10};
    auto whole = bytes_of(x);
    auto size = element_bytes(kind);
    for (uint64_t first : {0u, 4u, 12u}) {
      std::vector<std::byte> part(7 * size);
      weights.fill(x, first, part);
      EXPECT_EQ(
        std::memcmp(part.data(), whole.data() + first * size, part.size()), 0)
        << first;
    }
  }
}

} // namespace troupe
