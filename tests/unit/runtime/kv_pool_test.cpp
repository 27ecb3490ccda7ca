#include "runtime/model/kv_pool.hpp"

#include "tests/model_files.hpp"

#include <gtest/gtest.h>

namespace troupe {
namespace {

class KvPool : public testing::Test {
protected:
  std::unique_ptr<kv_pool> make(precision activations, uint32_t blocks) {
    auto out = kv_pool::make(*dev_, config_, activations, blocks);
    EXPECT_TRUE(out);
    return std::move(*out);
  }

  std::unique_ptr<kernels::device> dev_ = kernels::make_reference_device(0);
  model_config config_ = *read_model_config(golden_case("v3-fp8"));
};

TEST_F(KvPool, GivesTheLowestFreeBlockFirst) {
  auto pool = make(precision::bf16, 4);
  for (uint32_t i = 0; i < 4; ++i)
    EXPECT_EQ(pool->take(), i);
  EXPECT_EQ(pool->take(), std::nullopt);
  pool->release(2);
  pool->release(0);
  pool->release(3);
  EXPECT_EQ(pool->num_free(), 3u);
  EXPECT_EQ(pool->take(), 0u);
  EXPECT_EQ(pool->take(), 2u);
  EXPECT_EQ(pool->take(), 3u);
}

TEST_F(KvPool, KeepsABlockUntilTheLastReferenceIsGone) {
  auto pool = make(precision::bf16, 1);
  auto block = *pool->take();
  pool->add_reference(block);
  pool->release(block);
  EXPECT_EQ(pool->num_free(), 0u);
  pool->release(block);
  EXPECT_EQ(pool->num_free(), 1u);
}

TEST_F(KvPool, LaysAllLayersOfABlockSideBySide) {
  auto pool = make(precision::bf16, 3);
  auto layer_bytes = 64u * (48 + 16) * 2;
  EXPECT_EQ(pool->block_bytes(), 3 * layer_bytes);
  auto first = pool->layer(0);
  auto last = pool->layer(2);
  EXPECT_EQ(first.type, kernels::dtype::bf16);
  EXPECT_EQ(first.latent, 48u);
  EXPECT_EQ(first.rope, 16u);
  EXPECT_EQ(last.block_stride, pool->block_bytes());
  EXPECT_EQ(last.mem.offset - first.mem.offset, 2 * layer_bytes);
  EXPECT_EQ(last.mem.offset + last.mem.bytes,
            first.mem.offset + first.mem.bytes);
  auto exact = make(precision::fp32, 1);
  EXPECT_EQ(exact->layer(0).type, kernels::dtype::f32);
  EXPECT_EQ(exact->block_bytes(), 6 * layer_bytes);
}

TEST_F(KvPool, StopsTheProcessWhenABlockIsGivenBackTwice) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  auto pool = make(precision::bf16, 2);
  auto block = *pool->take();
  pool->release(block);
  EXPECT_DEATH(pool->release(block), "CHECK");
  EXPECT_DEATH(pool->add_reference(1), "CHECK");
  EXPECT_DEATH(pool->layer(3), "CHECK");
}

TEST_F(KvPool, SaysWhenThereIsTooLittleMemory) {
  auto out = kv_pool::make(*dev_, config_, precision::bf16, UINT32_MAX);
  ASSERT_FALSE(out);
  EXPECT_EQ(out.why().code, errc::out_of_memory);
}

} // namespace
} // namespace troupe
