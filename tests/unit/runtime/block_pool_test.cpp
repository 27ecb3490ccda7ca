#include "runtime/transport/block_pool.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <deque>
#include <thread>
#include <vector>

using namespace troupe;

namespace {

uintptr_t address_of(const void* x) {
  return reinterpret_cast<uintptr_t>(x);
}

} // namespace

TEST(BlockPool, GivesAlignedMemoryOfTheSizeAskedFor) {
  block_pool pool{1 << 20};
  for (size_t bytes : {0u, 1u, 64u, 65u, 4096u, 100000u}) {
    auto block = pool.take(bytes);
    EXPECT_EQ(address_of(block) % 64, 0u);
    std::memset(block, 0xff, bytes);
    pool.give_back(block, bytes);
  }
}

TEST(BlockPool, GivesTheSameMemoryAgain) {
  block_pool pool{1 << 20};
  auto first = pool.take(5000);
  pool.give_back(first, 5000);
  EXPECT_EQ(pool.idle_bytes(), 8192u);
  EXPECT_EQ(pool.take(8000), first);
  EXPECT_EQ(pool.idle_bytes(), 0u);
  pool.give_back(first, 8000);
}

TEST(BlockPool, KeepsNoMoreThanItsLimit) {
  block_pool pool{4 * 4096};
  std::vector<void*> out;
  for (int i = 0; i < 10; ++i)
    out.push_back(pool.take(4096));
  for (auto x : out)
    pool.give_back(x, 4096);
  EXPECT_EQ(pool.idle_bytes(), 4u * 4096);
  pool.give_back(pool.take(1 << 20), 1 << 20);
  EXPECT_EQ(pool.idle_bytes(), 4u * 4096) << "one beyond the limit alone";
}

TEST(BlockPool, LargeBlocksDoNotDriveOutSmallOnes) {
  block_pool pool{4 << 20};
  auto small = pool.take(100);
  pool.give_back(small, 100);
  std::vector<void*> large;
  for (int i = 0; i < 8; ++i)
    large.push_back(pool.take(1 << 20));
  for (auto x : large)
    pool.give_back(x, 1 << 20);
  EXPECT_EQ(pool.take(100), small);
  pool.give_back(small, 100);
}

TEST(BlockPool, ASizeOutOfUseGivesWay) {
  block_pool pool{16384};
  std::vector<void*> old;
  for (int i = 0; i < 4; ++i)
    old.push_back(pool.take(4096));
  for (auto x : old)
    pool.give_back(x, 4096);
  auto one = pool.take(8192);
  pool.give_back(one, 8192);
  EXPECT_EQ(pool.idle_bytes(), 16384u);
  EXPECT_EQ(pool.take(8192), one);
  pool.give_back(one, 8192);
}

TEST(BlockPool, SharedBytesComeBackWithTheirLastOwner) {
  auto pool = std::make_shared<block_pool>(1 << 20);
  auto first = take_shared(pool, 7168);
  auto* data = first.get();
  auto second = first;
  first.reset();
  EXPECT_EQ(pool->idle_bytes(), 0u);
  std::thread{[second = std::exchange(second, {})]() mutable {
    second.reset();
  }}.join();
  EXPECT_GE(pool->idle_bytes(), 8192u);
  EXPECT_EQ(take_shared(pool, 7168).get(), data);
}

TEST(BlockPool, SharedBytesKeepItAlive) {
  auto pool = std::make_shared<block_pool>(1 << 20);
  std::weak_ptr<block_pool> seen = pool;
  auto bytes = take_shared(pool, 100);
  std::weak_ptr<std::byte> weak = bytes;
  pool.reset();
  std::memset(bytes.get(), 7, 100);
  EXPECT_FALSE(seen.expired());
  bytes.reset();
  EXPECT_FALSE(seen.expired()) << "what is left of the owner lies in the pool";
  weak.reset();
  EXPECT_TRUE(seen.expired());
}

TEST(BlockPool, ServesTheStandardLibrary) {
  auto pool = std::make_shared<block_pool>(1 << 20);
  using numbers = std::deque<int, pooled_allocator<int>>;
  {
    numbers x{pooled_allocator<int>{pool}};
    for (int i = 0; i < 10000; ++i)
      x.push_back(i);
    EXPECT_EQ(x.back(), 9999);
    auto shared = std::allocate_shared<numbers>(pooled_allocator<int>{pool}, x);
    EXPECT_EQ(*shared, x);
  }
  EXPECT_GE(pool->idle_bytes(), 80000u);
}

TEST(BlockPool, ServesSeveralThreadsAndNeverTheSameMemoryTwice) {
  constexpr int num_threads = 4, num_rounds = 2000;
  block_pool pool{1 << 16};
  std::atomic<int> num_clashes = 0;
  std::atomic<void*> passed = nullptr;
  auto work = [&](int me) {
    for (int i = 0; i < num_rounds; ++i) {
      auto bytes = static_cast<unsigned char*>(pool.take(4096));
      std::memset(bytes, me, 4096);
      for (int j = 0; j < 4096; j += 512)
        num_clashes += bytes[j] != me;
      // Another thread gives it back.
      if (auto other = passed.exchange(bytes))
        pool.give_back(other, 4096);
    }
  };
  std::vector<std::thread> threads;
  for (int t = 0; t < num_threads; ++t)
    threads.emplace_back(work, t);
  for (auto& thread : threads)
    thread.join();
  pool.give_back(passed, 4096);
  EXPECT_EQ(num_clashes, 0);
}
