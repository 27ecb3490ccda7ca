/// Jobs in order, and what may wait.

#include "runtime/task_queue.hpp"

#include <gtest/gtest.h>

#include <future>
#include <vector>

namespace troupe {

namespace {

TEST(TaskQueue, TakesWhatCostsNothingHoweverFullItIs) {
  std::promise<void> go;
  std::vector<int> done;
  {
    task_queue queue{2};
    ASSERT_TRUE(queue.post(0, [&] { go.get_future().wait(); }));
    ASSERT_TRUE(queue.post(2, [&] { done.push_back(0); }));
    EXPECT_FALSE(queue.post(1, [&] { done.push_back(-1); }));
    EXPECT_TRUE(queue.post(0, [&] { done.push_back(1); }));
    go.set_value();
    queue.stop();
    EXPECT_FALSE(queue.post(0, [&] { done.push_back(-1); }));
  }
  EXPECT_EQ(done, (std::vector<int>{0, 1}));
}

} // namespace

} // namespace troupe
