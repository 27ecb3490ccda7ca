#include "runtime/cost/layer_work.hpp"

#include "tests/unit/runtime/v3_shapes.hpp"

#include <gtest/gtest.h>

using namespace troupe;

namespace {

layer_work v3_work() {
  return {v3_shapes(), value_bytes::published()};
}

step_load prompt_of(double rows) {
  step_load out;
  out.multi_head = {rows, rows * (rows + 1) / 2, rows};
  return out;
}

double bytes_of(const kernel_list& all) {
  double sum = 0;
  for (auto& x : all)
    sum += x.bytes;
  return sum;
}

/// 187,107,328 weights of attention without its norms, 44,040,192 of an expert.
TEST(LayerWork, ARowMeetsEveryWeightOnce) {
  auto work = v3_work();
  step_load one;
  one.multi_head = {1, 0, 1};
  auto attention = flops_of(work.prepare(one)) + flops_of(work.attention(one));
  EXPECT_EQ(attention, 2.0 * (187'107'328 - 1536 - 512));
  EXPECT_EQ(flops_of(work.shared_expert(1)), 2.0 * 44'040'192);
  EXPECT_EQ(flops_of(work.experts(8, 8)), 8 * 2.0 * 44'040'192);
  EXPECT_EQ(flops_of(work.dense_mlp(1)), 2.0 * 396'361'728);
  EXPECT_EQ(flops_of(work.route(1)), 2.0 * 7168 * 256);
}

TEST(LayerWork, AbsorbedRowsReadLatentsAndMultiHeadOnesMakeKeys) {
  auto work = v3_work();
  step_load decode;
  decode.absorbed = {2, 2 * 4096, 4096};
  auto core = work.attention(decode).front();
  EXPECT_EQ(core.family, kernel_family::core_attention);
  EXPECT_EQ(core.flops, 2.0 * 8192 * 128 * (512 + 576));
  EXPECT_GT(core.bytes, 4096 * 576 * 2.0);
  core = work.attention(prompt_of(4096)).front();
  EXPECT_EQ(core.flops, 4096.0 * 4097 * 128 * 320);
}

TEST(LayerWork, ExpertsReadTheWeightsOfEachSlotThatIsUsed) {
  auto work = v3_work();
  auto more = bytes_of(work.experts(64, 5)) - bytes_of(work.experts(64, 4));
  EXPECT_EQ(more, 44'040'192);
  EXPECT_EQ(flops_of(work.experts(64, 5)), flops_of(work.experts(64, 4)));
}

TEST(LayerWork, RowsTravelAsPublished) {
  EXPECT_EQ(v3_work().dispatch_row_bytes(), 7408);
  EXPECT_EQ(v3_work().combine_row_bytes(), 14336);
}

TEST(StepLoad, CountsWhatABatchAttendsTo) {
  batch x;
  auto add = [&x](std::vector<int32_t> tokens, uint32_t first,
                  attention_form form) {
    batch_rows next;
    next.tokens = std::move(tokens);
    next.first_position = first;
    next.form = form;
    x.sequences.push_back(std::move(next));
  };
  add({1}, 9, attention_form::absorbed);
  add({1, 2, 3}, 4, attention_form::multi_head);
  auto load = step_load::of(x);
  EXPECT_EQ(load.absorbed.pairs, 10);
  EXPECT_EQ(load.absorbed.keys, 10);
  EXPECT_EQ(load.multi_head.rows, 3);
  EXPECT_EQ(load.multi_head.pairs, 5 + 6 + 7);
  EXPECT_EQ(load.multi_head.keys, 7);
  EXPECT_EQ(load.rows(), 4);
}

TEST(KernelTime, OfProductsIsASumAndOfAttentionTheLongerPart) {
  device_rates gpu;
  gpu.narrow_flops = 1000;
  gpu.wide_flops = 100;
  gpu.attention_flops = 10;
  gpu.bytes_per_second = 10;
  gpu.per_kernel = 1;
  EXPECT_EQ(seconds({kernel_family::products, 1000, 20, true}, gpu), 4);
  EXPECT_EQ(seconds({kernel_family::products, 1000, 20, false}, gpu), 13);
  EXPECT_EQ(seconds({kernel_family::core_attention, 100, 20, false}, gpu), 11);
  EXPECT_EQ(seconds({kernel_family::core_attention, 10, 20, false}, gpu), 3);
}

} // namespace
