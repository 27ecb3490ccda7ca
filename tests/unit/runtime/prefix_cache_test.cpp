#include "runtime/batching/prefix_cache.hpp"

#include "tests/unit/runtime/token_model.hpp"

#include <gtest/gtest.h>

#include <random>

using namespace troupe;

namespace {

class PrefixCache : public testing::Test {
protected:
  static block_content content(int32_t first, uint64_t before = 0) {
    block_content out;
    out.before = before;
    for (size_t i = 0; i < out.tokens.size(); ++i)
      out.tokens[i] = first + int32_t(i);
    return out;
  }

  /// Takes a block, seals it and gives it back.
  uint64_t leave(const block_content& x) {
    auto block = *cache_.take();
    auto name = cache_.seal(x, block);
    cache_.release(block);
    return name;
  }

  std::unique_ptr<kernels::device> device_ = kernels::make_reference_device(0);
  std::unique_ptr<kv_pool> pool_ = make_token_pool(*device_, 3);
  prefix_cache cache_{*pool_};
};

} // namespace

TEST_F(PrefixCache, FindsWhatWasLeft) {
  EXPECT_FALSE(cache_.find(content(5)));
  auto name = leave(content(5));
  auto found = cache_.find(content(5));
  ASSERT_TRUE(found);
  EXPECT_EQ(found->name, name);
  EXPECT_EQ(cache_.num_available(), 3u);
  EXPECT_EQ(cache_.num_idle(), 1u);
  cache_.hold(found->block);
  EXPECT_EQ(cache_.num_available(), 2u);
  EXPECT_FALSE(cache_.is_idle(found->block));
  cache_.release(found->block);
  EXPECT_EQ(cache_.num_available(), 3u);
}

/// Everything that decides what is in a block.
TEST_F(PrefixCache, FindsNothingThatDiffersInAnything) {
  leave(content(5));
  auto other = content(5);
  other.tokens.back() ^= 1;
  EXPECT_FALSE(cache_.find(other));
  other = content(5);
  other.multi_head = 1;
  EXPECT_FALSE(cache_.find(other));
  other = content(5);
  other.before = 7;
  EXPECT_FALSE(cache_.find(other));
  other = content(5);
  other.salt = "tenant";
  EXPECT_FALSE(cache_.find(other));
  EXPECT_TRUE(cache_.find(content(5)));
}

TEST_F(PrefixCache, GivesAwayWhatHasBeenIdleLongest) {
  leave(content(1));
  leave(content(2));
  leave(content(3));
  auto second = cache_.find(content(1));
  cache_.hold(second->block); // used again: now the youngest
  cache_.release(second->block);
  ASSERT_TRUE(cache_.take());
  EXPECT_FALSE(cache_.find(content(2)));
  EXPECT_TRUE(cache_.find(content(1)));
  EXPECT_TRUE(cache_.find(content(3)));
  ASSERT_TRUE(cache_.take());
  ASSERT_TRUE(cache_.take());
  EXPECT_FALSE(cache_.take()) << "all are held";
  EXPECT_EQ(cache_.num_known(), 0u);
}

TEST_F(PrefixCache, WhatTwoHaveComputedIsKeptOnce) {
  auto first = *cache_.take(), second = *cache_.take();
  auto name = cache_.seal(content(1), first);
  EXPECT_EQ(cache_.seal(content(1), second), name);
  EXPECT_EQ(cache_.find(content(1))->block, first);
  cache_.release(second);
  EXPECT_EQ(cache_.num_idle(), 0u);
  EXPECT_EQ(pool_->num_free(), 2u) << "nobody can find the second";
  cache_.release(first);
  EXPECT_EQ(cache_.num_idle(), 1u);
}

TEST_F(PrefixCache, ANameIsNeverUsedAgain) {
  auto before = leave(content(1));
  auto after = content(2, before);
  leave(after);
  for (int i = 0; i < 3; ++i)
    leave(content(100 + i)); // all are new
  auto again = leave(content(1));
  EXPECT_NE(again, before);
  EXPECT_FALSE(cache_.find(content(2, again)));
}

TEST_F(PrefixCache, OffItRemembersNothing) {
  auto pool = make_token_pool(*device_, 1);
  prefix_cache off{*pool, false};
  auto block = *off.take();
  EXPECT_EQ(off.seal(content(1), block), 0u);
  EXPECT_FALSE(off.find(content(1)));
  off.release(block);
  EXPECT_EQ(pool->num_free(), 1u);
}

TEST_F(PrefixCache, GivesEveryBlockBackAtItsEnd) {
  {
    prefix_cache x{*pool_};
    auto block = *x.take();
    x.seal(content(1), block);
    x.release(block);
    EXPECT_EQ(pool_->num_free(), 2u);
  }
  EXPECT_EQ(pool_->num_free(), 3u);
}
