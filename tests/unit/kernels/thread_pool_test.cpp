#include "kernels/host/thread_pool.hpp"

#include <gtest/gtest.h>

#include <future>

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
  {
    thread_pool pool(GetParam());
    auto inner = [&](uint32_t) { ++count; };
    auto outer = [&](uint32_t) { pool.parallel_for(5, inner); };
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

INSTANTIATE_TEST_SUITE_P(Threads, ThreadPool, testing::Values(1u, 2u, 4u));

} // namespace
