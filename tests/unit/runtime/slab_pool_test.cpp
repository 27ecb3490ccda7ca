#include "runtime/dispatch/slab_pool.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <thread>
#include <vector>

using namespace troupe;

using sizes = std::vector<uint64_t>;
using room = slab_pool::room;

/// What was claimed; nothing if there was no room now.
std::vector<slab_pool::slab> take_all(slab_pool& pool, const sizes& all,
                                      const std::function<void()>& on_room) {
  std::vector<slab_pool::slab> out;
  auto is_there = pool.take_all(all, on_room, out) == room::there;
  EXPECT_EQ(is_there, !out.empty());
  return out;
}

TEST(SlabPool, GivesAlignedMemoryOfTheSizeAskedFor) {
  slab_pool pool{1 << 20};
  for (uint64_t bytes : {1u, 64u, 4096u, 4097u, 100000u}) {
    auto slab = pool.take(bytes);
    ASSERT_TRUE(slab.has_value());
    EXPECT_EQ(reinterpret_cast<uintptr_t>(slab->data.get()) % 64, 0u);
    EXPECT_EQ(slab->whole().bytes().size(), bytes);
    std::memset(slab->data.get(), 0xff, bytes);
  }
}

TEST(SlabPool, RefusesWhatIsBeyondItsLimitUntilSomethingComesBack) {
  slab_pool pool{3 * 4096};
  auto a = pool.take(4096);
  auto b = pool.take(8192);
  ASSERT_TRUE(a && b);
  EXPECT_FALSE(pool.take(1));
  b.reset();
  EXPECT_TRUE(pool.take(8000));
}

TEST(SlabPool, GivesTheSameMemoryAgain) {
  slab_pool pool{1 << 20};
  auto first = pool.take(5000);
  auto* data = first->data.get();
  first.reset();
  EXPECT_EQ(pool.take(8000)->data.get(), data);
}

TEST(SlabPool, FreesIdleSlabsOfOtherSizesToStayWithinItsLimit) {
  slab_pool pool{16384};
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(pool.take(16384)) << "the small ones lie idle";
    auto a = pool.take(4096), b = pool.take(4096), c = pool.take(8192);
    EXPECT_TRUE(a && b && c) << "the large one lies idle";
    EXPECT_FALSE(pool.take(1));
  }
}

TEST(SlabPool, KeepsASlabThatAnyBodyStillHolds) {
  slab_pool pool{4096};
  auto slab = pool.take(4096);
  auto held = slab->whole();
  slab.reset();
  EXPECT_FALSE(pool.take(1));
  held = {};
  EXPECT_TRUE(pool.take(1));
}

TEST(SlabPool, RefusesSizesThatNoMachineHas) {
  slab_pool pool{UINT64_MAX};
  for (auto bytes : {uint64_t{1} << 44, uint64_t{1} << 63, UINT64_MAX})
    EXPECT_FALSE(pool.take(bytes)) << bytes;
}

TEST(SlabPool, GivesEachItsSize) {
  slab_pool pool{1 << 20};
  auto got = take_all(pool, sizes{8192, 1, 3616}, [] { FAIL(); });
  ASSERT_EQ(got.size(), 3u);
  EXPECT_EQ(got[0].bytes, 8192u);
  EXPECT_EQ(got[1].bytes, 1u);
  EXPECT_EQ(got[2].bytes, 3616u);
}

TEST(SlabPool, GivesAllPiecesOrNoneAndSaysOnceWhenThereMayBeRoom) {
  slab_pool pool{4 * 4096};
  int num_calls = 0;
  auto count = [&] { ++num_calls; };
  auto a = pool.take(4096), b = pool.take(4096);
  EXPECT_TRUE(take_all(pool, sizes(3, 4096), count).empty());
  EXPECT_EQ(num_calls, 0);
  EXPECT_EQ(take_all(pool, sizes(2, 4096), count).size(), 2u)
    << "what was refused holds nothing";
  EXPECT_EQ(num_calls, 1) << "those two are back already";
  a.reset();
  EXPECT_EQ(num_calls, 1);
  EXPECT_EQ(take_all(pool, sizes(3, 4096), count).size(), 3u);
}

TEST(SlabPool, SaysWhenThereWillNeverBeRoom) {
  slab_pool pool{4 * 4096};
  std::vector<slab_pool::slab> out;
  auto fail = [] { FAIL() << "nobody is to wait for that"; };
  EXPECT_EQ(pool.take_all(sizes(5, 4096), fail, out), room::never);
  EXPECT_EQ(pool.take_all(sizes{UINT64_MAX}, fail, out), room::never);
  EXPECT_TRUE(out.empty());
  EXPECT_EQ(pool.take_all(sizes(4, 4096), fail, out), room::there);
}

TEST(SlabPool, CountsIdleMemoryAsRoom) {
  slab_pool pool{16384};
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(pool.take(16384)) << "the small ones lie idle";
    EXPECT_EQ(take_all(pool, sizes(4, 4096), [] {}).size(), 4u);
  }
}

TEST(SlabPool, HoldsWhatItsFootprintSays) {
  for (uint64_t bytes : {1u, 5000u, 8193u, 100000u})
    for (uint64_t piece : {4096u, 5000u, 8192u, 9000u}) {
      auto count = (bytes + piece - 1) / piece;
      slab_pool pool{slab_pool::footprint(bytes, count)};
      sizes pieces(count, piece);
      pieces.back() = bytes - (count - 1) * piece;
      EXPECT_EQ(take_all(pool, pieces, [] {}).size(), count)
        << bytes << " by " << piece;
    }
}

TEST(SlabPool, ItsSlabsOutliveIt) {
  auto pool = std::make_unique<slab_pool>(1 << 20);
  auto slab = pool->take(100);
  pool.reset();
  std::memset(slab->data.get(), 7, 100);
  EXPECT_EQ(slab->whole().bytes()[99], std::byte{7});
}

TEST(SlabPool, ServesSeveralThreadsAndNeverTheSameMemoryTwice) {
  constexpr int num_threads = 4, num_rounds = 2000;
  slab_pool pool{num_threads * 16384};
  std::atomic<int> num_clashes{0}, num_refused{0};
  auto work = [&](int me) {
    for (int i = 0; i < num_rounds; ++i) {
      auto slab = pool.take(i % 3 ? 4096 : 8192);
      if (!slab) {
        ++num_refused;
        continue;
      }
      std::memset(slab->data.get(), me, 4096);
      for (int j = 0; j < 4096; j += 512)
        num_clashes += slab->data.get()[j] != std::byte(me);
    }
  };
  std::vector<std::thread> threads;
  for (int t = 0; t < num_threads; ++t)
    threads.emplace_back(work, t);
  for (auto& thread : threads)
    thread.join();
  EXPECT_EQ(num_clashes, 0);
  EXPECT_EQ(num_refused, 0);
}
