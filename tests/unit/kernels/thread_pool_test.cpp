#include "kernels/host/thread_pool.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>
#include <future>

#include <sys/resource.h>

using troupe::kernels::thread_pool;

namespace {

class ThreadPool : public testing::TestWithParam<uint32_t> {};

TEST_P(ThreadPool, RunsEveryTaskBeforeItEnds) {
  std::atomic<int> count = 0;
  {
    thread_pool pool(GetParam());
    for (int i = 0; i < 1000; ++i)
      pool.submit([&] { ++count; });
  }
  EXPECT_EQ(count, 1000);
}

TEST_P(ThreadPool, RunsEachPieceOnce) {
  thread_pool pool(GetParam());
  for (uint32_t n : {0u, 1u, 2u, 3u, 17u, 1000u}) {
    std::vector<std::atomic<int>> seen(n);
    pool.parallel_for(n, [&](uint32_t i) { ++seen[i]; });
    for (auto& count : seen)
      EXPECT_EQ(count, 1);
  }
}

TEST_P(ThreadPool, SeesWhatPiecesWroteWhenARegionEnds) {
  thread_pool pool(GetParam());
  for (int round = 0; round < 500; ++round) {
    std::vector<int> out(8, -1);
    pool.parallel_for(8, [&](uint32_t i) { out[i] = round; });
    EXPECT_EQ(out, std::vector<int>(8, round));
  }
}

TEST_P(ThreadPool, OpensRegionsFromTasksAndFromPieces) {
  std::atomic<int> count = 0;
  auto inner = [&](uint32_t) { ++count; };
  std::function<void(uint32_t)> outer; // lives until the last task has ended
  {
    thread_pool pool(GetParam());
    outer = [&](uint32_t) { pool.parallel_for(5, inner); };
    for (int i = 0; i < 20; ++i)
      pool.submit([&] { pool.parallel_for(7, outer); });
  }
  EXPECT_EQ(count, 20 * 7 * 5);
}

TEST_P(ThreadPool, RunsTasksWhileARegionIsOpen) {
  thread_pool pool(GetParam() + 2); // Two pieces may hold two threads.
  std::promise<void> ran;
  auto done = ran.get_future().share();
  pool.parallel_for(2, [&](uint32_t i) {
    if (i == 0)
      pool.submit([&] { ran.set_value(); });
    done.wait();
  });
}

TEST_P(ThreadPool, WakesThreadsThatSleep) {
  thread_pool pool(GetParam());
  for (int i = 0; i < 50; ++i) {
    auto promise = std::make_shared<std::promise<int>>();
    auto value = promise->get_future();
    // Long enough for some rounds that the threads have gone to sleep; the
    // result must not depend on it.
    std::this_thread::sleep_for(std::chrono::microseconds(i * 5));
    pool.submit([promise, i] { promise->set_value(i); });
    EXPECT_EQ(value.get(), i);
  }
}

TEST_P(ThreadPool, StartsWithAllItsThreads) {
  auto pool = thread_pool::start(GetParam());
  ASSERT_TRUE(pool);
  EXPECT_EQ(pool->num_threads(), GetParam());
}

// Sanitizers need more room than is left here.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

/// Stacks of threads find no place: then there are none, and nothing else.
int try_without_room() {
  rlimit room{256 << 20, 256 << 20};
  if (setrlimit(RLIMIT_AS, &room) != 0)
    return 1;
  if (thread_pool::start(10'000) != nullptr)
    return 2;
  return thread_pool::start(2) != nullptr ? 0 : 3;
}

TEST(ThreadPoolDeathTest, IsNoneWhereTheSystemGivesTooFewThreads) {
  EXPECT_EXIT(std::_Exit(try_without_room()), testing::ExitedWithCode(0), "");
}

#endif

INSTANTIATE_TEST_SUITE_P(Threads, ThreadPool, testing::Values(1u, 2u, 4u));

} // namespace
