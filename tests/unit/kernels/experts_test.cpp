// router, swiglu, expert_mlp and combine on every device.

#include "tests/unit/kernels/device_fixture.hpp"

#include <numeric>

using namespace troupe::kernels;
using namespace troupe::kernels::test;

namespace {

class Experts : public on_every_device {};

TROUPE_ON_EVERY_DEVICE(Experts);

// -- router -------------------------------------------------------------------

struct routes {
  matrix experts, weights, logits;
};

/// `op` has everything but memory.
routes route(workbench& b, router op, const matrix& x, const raw_weight& w,
             const matrix& bias) {
  op.x = b.put(x);
  op.w = b.put_weight(w);
  if (!bias.values.empty())
    op.bias = b.put(bias);
  op.logits = b.make(dtype::f32, x.rows, w.rows);
  op.experts = b.make(dtype::i32, x.rows, op.top_k);
  op.weights = b.make(dtype::f32, x.rows, op.top_k);
  b.run(op);
  return {b.get(op.experts), b.get(op.weights), b.get(op.logits)};
}

router settings(scoring score, group_score group, uint32_t num_groups,
                uint32_t topk_group, uint32_t top_k) {
  router op;
  op.score = score;
  op.group = group;
  op.num_groups = num_groups;
  op.topk_group = topk_group;
  op.top_k = top_k;
  return op;
}

const router all_settings[]
  = {settings(scoring::sigmoid, group_score::sum_of_best_two, 8, 4, 8),
     settings(scoring::sigmoid, group_score::sum_of_best_two, 1, 1, 3),
     settings(scoring::softmax, group_score::best, 4, 2, 5),
     settings(scoring::softmax, group_score::best, 1, 1, 6)};

TEST_P(Experts, AreChosenAsByTheReference) {
  for (auto op : all_settings)
    for (auto type : {dtype::f32, dtype::bf16})
      for (bool biased : {false, true})
        for (bool normalize : {false, true}) {
          op.normalize = normalize;
          op.scaling = 2.5f;
          auto x = random_matrix(40, 257, 1);
          auto w = random_weight(type, 64, 257, 1, 2, 0.06f);
          auto bias = biased ? random_matrix(1, 64, 3, 0.2f) : matrix{};
          auto got = route(bench, op, x, w, bias);
          auto want = route(reference, op, x, w, bias);
          EXPECT_TRUE(same_bits(got.experts, want.experts));
          EXPECT_LE(relative_error(got.logits, want.logits), 2e-5);
          EXPECT_LE(relative_error(got.weights, want.weights), 2e-5);
        }
}

/// One input of 1, so that the logits are the weight's column.
routes route_logits(workbench& b, router op, const std::vector<float>& logits,
                    const matrix& bias = {}) {
  raw_weight w{dtype::f32, uint32_t(logits.size()), 1, 1, {}, {}};
  w.values.resize(logits.size() * 4);
  std::memcpy(w.values.data(), logits.data(), w.values.size());
  return route(b, op, {1, 1, {1}}, w, bias);
}

TEST_P(Experts, TiesGoToTheLowerId) {
  auto op = settings(scoring::sigmoid, group_score::sum_of_best_two, 1, 1, 4);
  auto got = route_logits(bench, op, {0, 1, 1, 0, 1, 0, 0, 0});
  EXPECT_EQ(got.experts.values, (std::vector<float>{1, 2, 4, 0}));
}

TEST_P(Experts, TiesOfGroupsGoToTheLowerGroup) {
  auto op = settings(scoring::sigmoid, group_score::sum_of_best_two, 4, 2, 3);
  auto got = route_logits(bench, op, {0, 0, 1, 1, 1, 1, 1, 1});
  EXPECT_EQ(got.experts.values, (std::vector<float>{2, 3, 4}));
}

TEST_P(Experts, BiasChoosesButDoesNotWeigh) {
  auto op = settings(scoring::sigmoid, group_score::sum_of_best_two, 1, 1, 2);
  for (bool normalize : {false, true}) {
    op.normalize = normalize;
    auto got = route_logits(bench, op, {2, 0, 0, 0}, {1, 4, {-1, 0, 0, 0.25f}});
    EXPECT_EQ(got.experts.values, (std::vector<float>{3, 1}));
    EXPECT_EQ(got.weights.values, (std::vector<float>{0.5f, 0.5f}));
  }
}

TEST_P(Experts, NegativeChoicesOfKeptGroupsGoBeforeMaskedOnes) {
  // All choices are below zero: a mask of zeros would choose group 1.
  auto op = settings(scoring::sigmoid, group_score::sum_of_best_two, 2, 1, 2);
  auto got = route_logits(bench, op, {0, 0, 0, 0}, {1, 4, {-3, -2, -4, -5}});
  EXPECT_EQ(got.experts.values, (std::vector<float>{1, 0}));
}

TEST_P(Experts, GroupsAreRankedByTwoOrByOne) {
  std::vector<float> logits{3, -9, -9, 2, 2, -9, 0, 0, 0};
  auto two = settings(scoring::sigmoid, group_score::sum_of_best_two, 3, 1, 1);
  auto one = settings(scoring::softmax, group_score::best, 3, 1, 1);
  EXPECT_EQ(route_logits(bench, two, logits).experts.values[0], 3);
  EXPECT_EQ(route_logits(bench, one, logits).experts.values[0], 0);
}

TEST_P(Experts, WeightsAreNormalisedThenScaled) {
  auto op = settings(scoring::sigmoid, group_score::sum_of_best_two, 1, 1, 3);
  op.scaling = 2.5f;
  auto got = route_logits(bench, op, {0.3f, -1, 2, 0.1f});
  double s[] = {1 / (1 + std::exp(-2.0)), 1 / (1 + std::exp(-0.3)),
                1 / (1 + std::exp(-0.1))};
  EXPECT_EQ(got.experts.values, (std::vector<float>{2, 0, 3}));
  for (int i = 0; i < 3; ++i)
    EXPECT_NEAR(got.weights.values[i], 2.5 * s[i] / (s[0] + s[1] + s[2]), 1e-6);
}

TEST_P(Experts, SoftmaxCountsAllExperts) {
  auto op = settings(scoring::softmax, group_score::best, 1, 1, 1);
  op.normalize = false;
  auto got = route_logits(bench, op, {100, 101, 99});
  EXPECT_NEAR(got.weights.values[0], 1 / (1 + std::exp(-1.0) + std::exp(-2.0)),
              1e-6);
}

TEST_P(Experts, AreDifferentAndExistWhateverTheInput) {
  for (float x : {std::nanf(""), INFINITY, -INFINITY, 1e30f})
    for (auto op : all_settings) {
      auto m = random_matrix(3, 24, 1);
      m.values[30] = x;
      auto w = random_weight(dtype::bf16, 64, 24, 1, 2);
      auto got = route(bench, op, m, w, {});
      for (uint32_t t = 0; t < 3; ++t) {
        auto row = got.experts.row(t);
        std::sort(row, row + op.top_k);
        EXPECT_GE(row[0], 0);
        EXPECT_LT(row[op.top_k - 1], 64);
        EXPECT_EQ(std::unique(row, row + op.top_k), row + op.top_k);
      }
    }
}

// -- swiglu -------------------------------------------------------------------

TEST_P(Experts, GateWithinTheBound) {
  for (uint32_t cols : lengths({1, 24, 136, 257, 640}))
    for (float scale : {1e-4f, 1.0f, 30.0f, 1e10f})
      expect_close(
        [&](workbench& b) {
          auto out = b.make(dtype::f32, 5, cols);
          b.run(swiglu{b.put(random_matrix(5, cols, 1, scale)),
                       b.put(random_matrix(5, cols, 2, scale)),
                       {out, {}}});
          return b.get(out);
        },
        1e-6);
}

TEST_P(Experts, GateThenQuantise) {
  for (auto type : {dtype::bf16, dtype::f8_e4m3})
    for (uint32_t cols : lengths({1, 24, 136, 257, 640})) {
      auto gate = bench.put(random_matrix(5, cols, 1));
      auto up = bench.put(random_matrix(5, cols, 2));
      auto plain = bench.make(dtype::f32, 5, cols);
      auto out = bench.make_operand(type, 5, cols);
      auto want = reference.make_operand(type, 5, cols);
      bench.run(swiglu{gate, up, {plain, {}}});
      bench.run(swiglu{gate, up, out});
      reference.run(quantize{reference.put(bench.get(plain)), want});
      EXPECT_TRUE(same_bits(bench.get(out), reference.get(want)));
    }
}

// -- expert_mlp ---------------------------------------------------------------

struct mlp_case {
  dtype x, w, out;
  uint32_t hidden, inner;
};

expert_weights put_expert(workbench& b, const mlp_case& c, uint64_t seed) {
  auto size = [](uint32_t k) { return 1 / std::sqrt(float(k)); };
  auto make = [&](uint32_t rows, uint32_t cols, uint64_t salt) {
    return b.put_weight(
      random_weight(c.w, rows, cols, 1, 3 * seed + salt, size(cols)));
  };
  return {make(c.inner, c.hidden, 0), make(c.inner, c.hidden, 1),
          make(c.hidden, c.inner, 2)};
}

/// Three experts, of which one has no rows; rows 0 and 4 go to two.
expert_mlp three_experts(workbench& b, const mlp_case& c) {
  expert_mlp op;
  op.x = b.put_operand(random_matrix(6, c.hidden, 5), c.x);
  op.row = {0, 2, 4, 0, 1, 3, 4, 5};
  op.groups = {{put_expert(b, c, 1), 0, 3},
               {put_expert(b, c, 2), 3, 0},
               {put_expert(b, c, 3), 3, 5}};
  op.gate = b.make(dtype::f32, 8, c.inner);
  op.up = b.make(dtype::f32, 8, c.inner);
  op.middle = b.make_operand(c.x, 8, c.inner);
  op.out = b.make(c.out, 8, c.hidden);
  return op;
}

const mlp_case mlp_cases[]
  = {{dtype::f8_e4m3, dtype::f8_e4m3, dtype::bf16, 144, 272},
     {dtype::bf16, dtype::f8_e4m3, dtype::bf16, 257, 136},
     {dtype::bf16, dtype::bf16, dtype::bf16, 96, 24},
     {dtype::f32, dtype::f8_e4m3, dtype::f32, 257, 136},
     {dtype::f32, dtype::bf16, dtype::f32, 96, 272},
     {dtype::f32, dtype::f32, dtype::f32, 24, 640},
     {dtype::f32, dtype::f32, dtype::f32, 1, 1}};

/// The same, made of the operations that it stands for.
matrix step_by_step(workbench& b, const expert_mlp& op, const mlp_case& c) {
  matrix out{0, c.hidden, {}};
  for (auto& g : op.groups)
    for (auto i = g.first; i < g.first + g.count; ++i) {
      auto x = op.x.slice_rows(op.row[i], 1);
      auto gate = b.make(dtype::f32, 1, c.inner);
      auto up = b.make(dtype::f32, 1, c.inner);
      auto middle = b.make_operand(c.x, 1, c.inner);
      auto down = b.make(dtype::f32, 1, c.hidden);
      b.run(linear{x, g.expert.gate, {}, gate});
      b.run(linear{x, g.expert.up, {}, up});
      b.run(swiglu{gate, up, middle});
      b.run(linear{middle, g.expert.down, {}, down});
      auto row = b.get(down);
      out.values.insert(out.values.end(), row.values.begin(), row.values.end());
      ++out.rows;
    }
  if (c.out == dtype::bf16)
    for (auto& x : out.values)
      x = host::round_to_bf16(x);
  return out;
}

TEST_P(Experts, ComputeWhatTheirPartsCompute) {
  for (auto& c : mlp_cases) {
    auto op = three_experts(bench, c);
    bench.run(op);
    EXPECT_TRUE(same_bits(bench.get(op.out), step_by_step(bench, op, c)));
  }
}

TEST_P(Experts, ComputeWithinTheBoundOfTheirLastProduct) {
  for (auto& c : mlp_cases) {
    auto compute = [&](workbench& b) {
      auto op = three_experts(b, c);
      b.run(op);
      return b.get(op.out);
    };
    // A rounding of the intermediate may fall to the other side.
    auto rounding = c.x == dtype::f8_e4m3 ? 2e-2
                    : c.x == dtype::bf16  ? 4e-3
                                          : 0;
    auto out_rounding = c.out == dtype::bf16 ? 2e-2 : 0;
    expect_close(compute, 2e-6 * std::sqrt(c.inner + c.hidden) + rounding
                            + out_rounding);
  }
}

TEST_P(Experts, NoRowsAreNoWork) {
  mlp_case c{dtype::f8_e4m3, dtype::f8_e4m3, dtype::bf16, 144, 272};
  auto op = three_experts(bench, c);
  op.row.clear();
  for (auto& g : op.groups)
    g.first = g.count = 0;
  op.gate = op.up = bench.make(dtype::f32, 0, c.inner);
  op.middle = bench.make_operand(c.x, 0, c.inner);
  op.out = bench.make(c.out, 0, c.hidden);
  bench.run(op);
  op.groups.clear();
  bench.run(op);
}

// -- combine ------------------------------------------------------------------

TEST_P(Experts, CombineBitForBit) {
  for (auto type : {dtype::f32, dtype::bf16})
    for (uint32_t cols : lengths({1, 24, 257, 640}))
      for (uint32_t k : {1, 3, 8})
        for (bool shared : {false, true})
          for (float scale : {1.0f, 1e30f})
            expect_same_bits([&](workbench& b) {
              combine op;
              op.rows = b.put(random_matrix(40, cols, 1, scale), type);
              numbers random{7};
              for (uint32_t i = 0; i < 9 * k; ++i)
                op.row_of.push_back(random.below(40));
              op.weights = b.put(random_matrix(9, k, 2));
              if (shared)
                op.shared = b.put(random_matrix(9, cols, 3, scale));
              op.residual = b.put(random_matrix(9, cols, 4, scale));
              b.run(op);
              return b.get(op.residual);
            });
}

TEST_P(Experts, CombineFusesProductAndSum) {
  auto e = 0x1p-12f;
  combine op;
  op.rows = bench.put({2, 1, {1, 1 + e}});
  op.row_of = {0, 1};
  op.weights = bench.put({1, 2, {-1, 1 + e}});
  op.residual = bench.put({1, 1, {0}});
  bench.run(op);
  // A product that is rounded first loses e * e.
  EXPECT_EQ(bench.get(op.residual).values[0], 2 * e + e * e);
}

TEST_P(Experts, CombineTakesRowsInTheOrderOfTheWeights) {
  combine op;
  op.rows = bench.put({3, 1, {1, 0x1p24f, -0x1p24f}});
  op.row_of = {0, 1, 2, 1, 2, 0};
  op.weights = bench.put({2, 3, {1, 1, 1, 1, 1, 1}});
  op.residual = bench.put({2, 1, {0, 0}});
  bench.run(op);
  EXPECT_EQ(bench.get(op.residual).values, (std::vector<float>{0, 1}));
}

TEST_P(Experts, CombineAddsSharedBeforeTheResidual) {
  combine op;
  op.rows = bench.put({1, 1, {1}});
  op.row_of = {0};
  op.weights = bench.put({1, 1, {0x1p24f}});
  op.shared = bench.put({1, 1, {-0x1p24f}});
  op.residual = bench.put({1, 1, {1}});
  bench.run(op);
  EXPECT_EQ(bench.get(op.residual).values[0], 1);
}

} // namespace
