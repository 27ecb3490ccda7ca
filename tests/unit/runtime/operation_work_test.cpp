#include "runtime/cost/operation_work.hpp"

#include <gtest/gtest.h>

using namespace troupe;
using namespace troupe::kernels;

namespace {

buffer somewhere(uint64_t bytes) {
  return {0, 0, bytes};
}

tensor values(uint32_t rows, uint32_t cols) {
  return dense(somewhere(uint64_t{rows} * cols * 4), dtype::f32, rows, cols);
}

TEST(OperationWork, IsWhatAnOperationCosts) {
  linear op;
  op.x.values = values(3, 128);
  op.w = {somewhere(128 * 256), dtype::f8_e4m3, 256, 128, 1};
  op.out = values(3, 256);
  auto x = work_of(op);
  auto cost = cost_of(op);
  EXPECT_EQ(x.family, kernel_family::products);
  EXPECT_EQ(x.flops, double(cost.flops));
  EXPECT_EQ(x.bytes, double(cost.bytes));
  EXPECT_EQ(x.copied, 0);
  EXPECT_TRUE(x.is_narrow);
  op.w.type = dtype::bf16;
  EXPECT_FALSE(work_of(op).is_narrow);
}

TEST(OperationWork, OfACopyCrossesOnce) {
  auto x = work_of(copy_in{nullptr, somewhere(100), nullptr});
  EXPECT_EQ(x.family, kernel_family::other);
  EXPECT_EQ(x.copied, 100);
  EXPECT_EQ(x.bytes, 0);
  EXPECT_EQ(x.flops, 0);
}

TEST(OperationWork, KnowsWhatIsAttentionAndWhatAreExperts) {
  mla_attention attention;
  attention.cache.type = dtype::bf16;
  EXPECT_EQ(work_of(attention).family, kernel_family::core_attention);
  EXPECT_EQ(work_of(expert_mlp{}).family, kernel_family::experts);
  EXPECT_EQ(work_of(router{}).family, kernel_family::products);
  EXPECT_EQ(work_of(swiglu{}).family, kernel_family::other);
  EXPECT_FALSE(work_of(expert_mlp{}).is_narrow) << "it has none";
}

} // namespace
