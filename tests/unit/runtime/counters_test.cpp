#include "runtime/cluster/counters.hpp"

#include <gtest/gtest.h>

#include <set>
#include <thread>
#include <vector>

using namespace troupe;

TEST(Counters, HaveNamesOfTheirOwn) {
  std::set<std::string_view> names;
  for (size_t i = 0; i < num_counters; ++i)
    names.insert(name_of(counter(i)));
  EXPECT_EQ(names.size(), num_counters);
  EXPECT_FALSE(names.contains(""));
  EXPECT_EQ(name_of(counter::steps), "steps");
  EXPECT_EQ(name_of(counter::kv_blocks_free), "kv_blocks_free");
  EXPECT_EQ(name_of(counter::workers_used), "workers_used");
}

TEST(Counters, CountFromSeveralThreads) {
  node_counters counters;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      gauge mine{&counters, counter::running};
      for (uint64_t i = 0; i < 1000; ++i) {
        counters.add(counter::steps);
        mine.set(i % 5);
      }
      mine.set(2);
    });
  for (auto& thread : threads)
    thread.join();
  EXPECT_EQ(counters.read()[size_t(counter::steps)], 4000u);
  EXPECT_EQ(counters.read()[size_t(counter::running)], 8u);
  EXPECT_EQ(counters.read()[size_t(counter::waiting)], 0u);
}

TEST(Gauge, IsItsOwnShareOfASum) {
  node_counters counters;
  gauge a{&counters, counter::waiting}, b{&counters, counter::waiting};
  a.set(5);
  b.set(7);
  a.set(1);
  EXPECT_EQ(counters.read()[size_t(counter::waiting)], 8u);
  b.set(0);
  EXPECT_EQ(counters.read()[size_t(counter::waiting)], 1u);
}
