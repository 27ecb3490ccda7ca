// What every device refuses at enqueue, and what operations cost.

#include "tests/unit/kernels/device_fixture.hpp"

using namespace troupe::kernels;
using namespace troupe::kernels::test;

namespace {

/// Memory is never touched: any addresses will do.
buffer somewhere(uint64_t bytes) {
  return {0, 4096, bytes};
}

tensor shaped(uint32_t rows, uint32_t cols, dtype type = dtype::f32) {
  return dense(somewhere(uint64_t{rows} * cols * size_of(type)), type, rows,
               cols);
}

activation operand(uint32_t rows, uint32_t cols, dtype type) {
  activation out{shaped(rows, cols, type), {}};
  if (type == dtype::f8_e4m3)
    out.scales = shaped(rows, num_scale_blocks(cols));
  return out;
}

weight stack(uint32_t rows, uint32_t cols, dtype type, uint32_t groups = 1) {
  return {somewhere(64), type, rows, cols, groups};
}

std::shared_ptr<const block_table> blocks(std::vector<uint32_t> ids) {
  return std::make_shared<block_table>(std::move(ids));
}

latent_cache some_cache() {
  latent_cache out;
  out.latent = 24;
  out.rope = 8;
  out.block_stride = 3 * 64 * 32 * 2;
  out.mem = somewhere(2 * out.block_stride);
  return out;
}

template <class Op>
void refuses(Op op, void (*spoil)(Op&)) {
  check_shapes(op);
  spoil(op);
  EXPECT_DEATH(check_shapes(op), "CHECK");
}

} // namespace

TEST(ShapesDeathTest, MemoryHasToHoldTheMatrix) {
  using op = quantize;
  op good{shaped(3, 200), operand(3, 200, dtype::f8_e4m3)};
  refuses<op>(good, [](op& x) { x.x.mem.bytes -= 1; });
  refuses<op>(good, [](op& x) { x.x.stride -= 4; });
  refuses<op>(good, [](op& x) { x.x.stride += 2; });
  refuses<op>(good, [](op& x) { x.x.type = dtype::bf16; });
  refuses<op>(good, [](op& x) { x.out.values.rows = 2; });
  refuses<op>(good, [](op& x) { x.out.scales = {}; });
  refuses<op>(good, [](op& x) { x.out.scales.cols = 1; });
  refuses<op>(good, [](op& x) { x.out.values.type = dtype::i32; });
}

TEST(ShapesDeathTest, IndicesHaveToExist) {
  std::byte dst[256];
  refuses<gather_rows>({shaped(3, 4), {0, 2}, shaped(2, 4)},
                       [](auto& op) { op.idx[1] = 3; });
  refuses<gather_rows>({shaped(3, 4), {0, 2}, shaped(2, 4)},
                       [](auto& op) { op.idx.pop_back(); });
  refuses<pack_rows>({operand(3, 4, dtype::bf16), {2}, dst, nullptr},
                     [](auto& op) { op.idx[0] = 3; });
  refuses<pack_rows>({operand(3, 4, dtype::bf16), {2}, dst, nullptr},
                     [](auto& op) { op.dst = nullptr; });
  refuses<embed>({{0, 2}, shaped(3, 4), shaped(2, 4)},
                 [](auto& op) { op.ids[0] = -1; });
  refuses<embed>({{0, 2}, shaped(3, 4), shaped(2, 4)},
                 [](auto& op) { op.ids[0] = 3; });
}

TEST(ShapesDeathTest, NormsWriteSomething) {
  rms_norm good{shaped(3, 4), shaped(1, 4), 1e-6f, shaped(3, 4), {}};
  refuses<rms_norm>(good, [](auto& op) { op.out = {}; });
  refuses<rms_norm>(good, [](auto& op) { op.weight = shaped(3, 4); });
}

TEST(ShapesDeathTest, OnlyTheNamedPairsOfTypesMultiply) {
  auto types = {dtype::f32, dtype::bf16, dtype::f8_e4m3};
  for (auto x : types)
    for (auto w : types) {
      linear op{operand(2, 200, x), stack(30, 200, w), {}, shaped(2, 30)};
      auto allowed = x == dtype::f32 || w == dtype::f8_e4m3
                     || (x == dtype::bf16 && w == dtype::bf16);
      if (allowed)
        check_shapes(op);
      else
        EXPECT_DEATH(check_shapes(op), "CHECK");
    }
}

TEST(ShapesDeathTest, ProductsFitTheirWeights) {
  linear good{operand(2, 200, dtype::f32), stack(30, 200, dtype::bf16),
              shaped(2, 30), shaped(2, 30)};
  refuses<linear>(good, [](auto& op) { op.w.cols = 199; });
  refuses<linear>(good, [](auto& op) { op.w.rows = 31; });
  refuses<linear>(good, [](auto& op) { op.w.groups = 2; });
  refuses<linear>(good, [](auto& op) { op.w.data = {}; });
  refuses<linear>(good, [](auto& op) { op.residual.rows = 1; });
  grouped_linear grouped{shaped(2, 70), 30, stack(8, 10, dtype::bf16, 3),
                         shaped(2, 24)};
  refuses<grouped_linear>(grouped, [](auto& op) { op.x_stride = 31; });
  refuses<grouped_linear>(grouped, [](auto& op) { op.out.cols = 8; });
  refuses<grouped_linear>(grouped,
                          [](auto& op) { op.w.type = dtype::f8_e4m3; });
}

TEST(ShapesDeathTest, OnlyFp8WeightsHaveScales) {
  std::byte values[64];
  float scales[1];
  pack_weight good{values, scales, stack(8, 8, dtype::f8_e4m3), nullptr};
  refuses<pack_weight>(good, [](auto& op) { op.scales = nullptr; });
  refuses<pack_weight>(good, [](auto& op) { op.dst.type = dtype::bf16; });
  refuses<pack_weight>(good, [](auto& op) { op.first_row = 128; });
  refuses<pack_weight>(good, [](auto& op) { op.num_rows = 4; });
  refuses<pack_weight>(good, [](auto& op) { op.num_rows = 9; });
}

TEST(ShapesDeathTest, SequencesCoverTheRowsAndHaveTheirBlocks) {
  append_latent good{
    shaped(70, 32), shaped(1, 24),
    1e-6f,          shaped(70, 8),
    some_cache(),   {{0, 5, 0, blocks({1})}, {5, 65, 5, blocks({0, 1})}}};
  using op = append_latent;
  refuses<op>(good, [](auto& op) { op.sequences[1].first_row = 4; });
  refuses<op>(good, [](auto& op) { op.sequences.pop_back(); });
  refuses<op>(good, [](auto& op) { op.sequences[1].first_position = 6; });
  refuses<op>(good, [](auto& op) { op.sequences[1].blocks = blocks({0}); });
  refuses<op>(good, [](auto& op) { op.sequences[1].blocks = nullptr; });
  refuses<op>(good, [](auto& op) { op.sequences[0].blocks = blocks({2}); });
  refuses<op>(good, [](auto& op) { op.cos_sin = shaped(70, 7); });
  refuses<op>(good, [](auto& op) { op.cache.block_stride = 4094; });
  rotate turn{shaped(2, 50), 3, 20, 2, shaped(9, 8), {{0, 2, 7, nullptr}}};
  refuses<rotate>(turn, [](auto& op) { op.skip = 3; });
  refuses<rotate>(turn, [](auto& op) { op.sequences[0].first_position = 8; });
}

TEST(ShapesDeathTest, QueriesFitTheirHeads) {
  mla_attention good{shaped(2, 72),
                     shaped(2, 36),
                     3,
                     12,
                     4,
                     0.1f,
                     some_cache(),
                     {{0, 2, 3, blocks({1})}},
                     shaped(2, 72)};
  using op = mla_attention;
  refuses<op>(good, [](auto& op) { op.q_rope_skip = 5; });
  refuses<op>(good, [](auto& op) { op.heads = 2; });
  refuses<op>(good, [](auto& op) { op.scale = INFINITY; });
  refuses<op>(good, [](auto& op) { op.out.cols = 71; });
}

TEST(ShapesDeathTest, HeadsHaveWeightsOfTheirCache) {
  mha_attention good{shaped(2, 36),
                     3,
                     12,
                     stack(24, 4, dtype::bf16, 3),
                     stack(5, 24, dtype::bf16, 3),
                     0.1f,
                     some_cache(),
                     {{0, 2, 3, blocks({1})}},
                     shaped(2, 15)};
  using op = mha_attention;
  refuses<op>(good, [](auto& op) { op.k_b = stack(24, 5, dtype::bf16, 3); });
  refuses<op>(good, [](auto& op) { op.k_b = stack(24, 4, dtype::f32, 3); });
  refuses<op>(good, [](auto& op) { op.v_b = stack(5, 24, dtype::bf16, 2); });
  refuses<op>(good, [](auto& op) { op.scale = INFINITY; });
  refuses<op>(good, [](auto& op) { op.out.cols = 14; });
}

TEST(ShapesDeathTest, RoutersHaveEnoughExperts) {
  router good;
  good.x = shaped(2, 10);
  good.w = stack(12, 10, dtype::bf16);
  good.num_groups = 4;
  good.topk_group = 2;
  good.top_k = 6;
  good.logits = shaped(2, 12);
  good.experts = shaped(2, 6, dtype::i32);
  good.weights = shaped(2, 6);
  refuses<router>(good, [](auto& op) { op.num_groups = 5; });
  refuses<router>(good, [](auto& op) { op.topk_group = 1; });
  refuses<router>(good, [](auto& op) { op.topk_group = 5; });
  refuses<router>(good, [](auto& op) { op.experts.type = dtype::f32; });
  refuses<router>(good, [](auto& op) { op.w.type = dtype::f8_e4m3; });
  refuses<router>(good, [](auto& op) { op.bias = shaped(1, 11); });
}

TEST(ShapesDeathTest, GroupsCoverTheRowsOfTheExperts) {
  expert_mlp good;
  auto type = dtype::f8_e4m3;
  expert_weights expert{stack(136, 200, type), stack(136, 200, type),
                        stack(200, 136, type)};
  good.x = operand(4, 200, type);
  good.row = {0, 3, 3};
  good.groups = {{expert, 0, 1}, {expert, 1, 2}};
  good.gate = shaped(3, 136);
  good.up = shaped(3, 136);
  good.middle = operand(3, 136, type);
  good.out = shaped(3, 200, dtype::bf16);
  using op = expert_mlp;
  refuses<op>(good, [](auto& op) { op.row[0] = 4; });
  refuses<op>(good, [](auto& op) { op.groups[1].first = 0; });
  refuses<op>(good, [](auto& op) { op.groups[1].count = 1; });
  refuses<op>(good, [](auto& op) { op.middle.values.type = dtype::bf16; });
  refuses<op>(
    good, [](auto& op) { op.groups[0].expert.down = op.groups[0].expert.up; });
  refuses<op>(good,
              [](auto& op) { op.groups[0].expert.up.type = dtype::bf16; });
  refuses<op>(good, [](auto& op) { op.out.cols = 199; });
}

TEST(ShapesDeathTest, CombineHasARowForEveryWeight) {
  combine good{
    shaped(5, 8, dtype::bf16), {0, 4, 1, 2}, shaped(2, 2), {}, shaped(2, 8)};
  refuses<combine>(good, [](auto& op) { op.row_of[0] = 5; });
  refuses<combine>(good, [](auto& op) { op.row_of.pop_back(); });
  refuses<combine>(good, [](auto& op) { op.shared = shaped(1, 8); });
}

TEST(ShapesDeathTest, DrawsLieWithinTheirLogits) {
  sample good{shaped(3, 8),
              {{.row = 2, .num_choices = 8}, {.row = 0, .num_choices = 1}},
              shaped(2, 1, dtype::i32)};
  using op = sample;
  refuses<op>(good, [](auto& op) { op.draws[0].row = 3; });
  refuses<op>(good, [](auto& op) { op.draws[0].num_choices = 9; });
  refuses<op>(good, [](auto& op) { op.draws[1].num_choices = 0; });
  refuses<op>(good, [](auto& op) { op.draws[1].point = uint64_t{1} << 53; });
  refuses<op>(good, [](auto& op) { op.draws[0].min_p = 1.5f; });
  refuses<op>(good, [](auto& op) { op.draws[0].num_scores = 1; });
  refuses<op>(good, [](auto& op) { op.draws[0].given = 3; });
  refuses<op>(good, [](auto& op) { op.draws.pop_back(); });
  refuses<op>(good, [](auto& op) { op.ids.type = dtype::f32; });
  refuses<op>(good, [](auto& op) { op.logits.type = dtype::bf16; });
}

void edit(sample& op, std::vector<logit_edit> edits) {
  op.draws[0].edits
    = std::make_shared<const std::vector<logit_edit>>(std::move(edits));
}

TEST(ShapesDeathTest, ScoresAndEditsOfDrawsHaveTheirPlaces) {
  using op = sample;
  op good{shaped(3, 8),
          {{.row = 2, .num_choices = 8}},
          shaped(1, 1, dtype::i32),
          shaped(1, 3),
          shaped(1, 3, dtype::i32)};
  good.draws[0].num_scores = 3;
  good.draws[0].given = 7;
  edit(good, {{0}, {7}});
  refuses<op>(good, [](auto& op) { op.draws[0].num_scores = 4; });
  refuses<op>(good, [](auto& op) { op.draws[0].given = 8; });
  refuses<op>(good, [](auto& op) { op.scores = shaped(2, 3); });
  refuses<op>(good, [](auto& op) { op.score_ids = shaped(1, 3); });
  refuses<op>(good, [](auto& op) { edit(op, {{8}}); });
  refuses<op>(good, [](auto& op) { edit(op, {{3}, {3}}); });
  refuses<op>(good, [](auto& op) { edit(op, {{3, 0, 0}}); });
}

TEST(ShapesDeathTest, DevicesCheckAtEnqueue) {
  for (auto& name : device_names())
    EXPECT_DEATH(
      {
        auto dev = make_device(name);
        dev->make_stream()->enqueue(quantize{shaped(1, 4), {}});
      },
      "CHECK")
      << name;
}

// -- names and costs ----------------------------------------------------------

TEST(Operations, HaveTheirNames) {
  EXPECT_EQ(name_of(copy_in{}), "copy_in");
  EXPECT_EQ(name_of(copy_out{}), "copy_out");
  EXPECT_EQ(name_of(pack_rows{}), "pack_rows");
  EXPECT_EQ(name_of(gather_rows{}), "gather_rows");
  EXPECT_EQ(name_of(pack_weight{}), "pack_weight");
  EXPECT_EQ(name_of(embed{}), "embed");
  EXPECT_EQ(name_of(rms_norm{}), "rms_norm");
  EXPECT_EQ(name_of(quantize{}), "quantize");
  EXPECT_EQ(name_of(linear{}), "linear");
  EXPECT_EQ(name_of(grouped_linear{}), "grouped_linear");
  EXPECT_EQ(name_of(append_latent{}), "append_latent");
  EXPECT_EQ(name_of(rotate{}), "rotate");
  EXPECT_EQ(name_of(mla_attention{}), "mla_attention");
  EXPECT_EQ(name_of(mha_attention{}), "mha_attention");
  EXPECT_EQ(name_of(router{}), "router");
  EXPECT_EQ(name_of(swiglu{}), "swiglu");
  EXPECT_EQ(name_of(expert_mlp{}), "expert_mlp");
  EXPECT_EQ(name_of(combine{}), "combine");
  EXPECT_EQ(name_of(sample{}), "sample");
}

TEST(Operations, CostEveryByteOfTheirOperandsOnce) {
  linear op{operand(2, 200, dtype::f8_e4m3),
            stack(130, 200, dtype::f8_e4m3),
            {},
            shaped(2, 130)};
  auto weight_size = 130 * 200 + 2 * 2 * 4;
  EXPECT_EQ(cost_of(op).bytes,
            2u * 200 + 2 * 2 * 4 + weight_size + 2 * 130 * 4);
  EXPECT_EQ(cost_of(op).flops, 2u * 2 * 130 * 200);
  EXPECT_EQ(cost_of(copy_in{nullptr, somewhere(100), nullptr}).bytes, 200u);
}

TEST(Operations, AttentionCostsTheKeysThatItSees) {
  mla_attention op{shaped(4, 72),
                   shaped(4, 36),
                   3,
                   12,
                   4,
                   0.1f,
                   some_cache(),
                   {{0, 3, 5, blocks({1})}, {3, 1, 0, blocks({0})}},
                   shaped(4, 72)};
  // Rows see 6, 7, 8 and 1 keys; 8 + 1 keys are read.
  EXPECT_EQ(cost_of(op).flops, (6u + 7 + 8 + 1) * 3 * (2 * 32 + 2 * 24));
  EXPECT_EQ(cost_of(op).bytes,
            4u * 72 * 4 + 4 * 3 * 8 * 4 + 4 * 72 * 4 + 9 * 32 * 2);
}

TEST(Operations, KeysOfHeadsAreMadeOncePerSequence) {
  mha_attention op{shaped(4, 36),
                   3,
                   12,
                   stack(24, 4, dtype::bf16, 3),
                   stack(5, 24, dtype::bf16, 3),
                   0.1f,
                   some_cache(),
                   {{0, 3, 5, blocks({1})}, {3, 1, 0, blocks({0})}},
                   shaped(4, 15)};
  auto pairs = 6u + 7 + 8 + 1;
  auto making = (8u + 1) * 3 * 2 * 24 * (4 + 5);
  EXPECT_EQ(cost_of(op).flops, pairs * 3 * 2 * (4 + 8 + 5) + making);
  EXPECT_EQ(cost_of(op).bytes,
            4u * 3 * 12 * 4 + 4 * 15 * 4 + 3 * 24 * (4 + 5) * 2 + 9 * 32 * 2);
}

TEST(Operations, ADrawReadsItsChoicesOnce) {
  sample op{shaped(3, 100),
            {{.row = 0, .num_choices = 90, .temperature = 0},
             {.row = 1, .num_choices = 80}},
            shaped(2, 1, dtype::i32)};
  EXPECT_EQ(cost_of(op).bytes, (90u + 80) * 4 + 2 * 4);
  EXPECT_EQ(cost_of(op).flops, 80u * 22);
}

TEST(Operations, ExpertsWithoutRowsCostNothing) {
  expert_mlp op;
  auto type = dtype::bf16;
  expert_weights expert{stack(16, 32, type), stack(16, 32, type),
                        stack(32, 16, type)};
  op.x = operand(4, 32, type);
  op.row = {0, 3, 3};
  op.groups = {{expert, 0, 3}, {expert, 3, 0}};
  op.out = shaped(3, 32, type);
  EXPECT_EQ(cost_of(op).flops, 2u * 3 * 3 * 16 * 32);
  EXPECT_EQ(cost_of(op).bytes, 3u * 64 + 3 * 16 * 32 * 2 + 3 * 64);
}
