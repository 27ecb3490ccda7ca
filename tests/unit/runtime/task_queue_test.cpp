/// Jobs in order, and what may wait.

#include "runtime/task_queue.hpp"

#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <thread>
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

TEST(TaskQueue, DropsWhatWaitsIfItIsToStopNow) {
  std::promise<void> begun, go;
  auto held = std::make_shared<int>(1);
  std::vector<int> done;
  task_queue queue{2};
  ASSERT_TRUE(queue.post(0, [&] {
    begun.set_value();
    go.get_future().wait();
    done.push_back(0);
  }));
  begun.get_future().wait();
  ASSERT_TRUE(queue.post(1, [&done, held] { done.push_back(1); }));
  EXPECT_EQ(held.use_count(), 2);
  std::thread stops{[&] { queue.stop_now(); }};
  while (held.use_count() > 1)
    std::this_thread::yield();
  EXPECT_FALSE(queue.post(0, [&] { done.push_back(2); }));
  go.set_value();
  stops.join();
  EXPECT_EQ(done, std::vector<int>{0});
}

TEST(TaskQueue, LeavesAJobAloneThatTakesTooLong) {
  std::promise<void> begun, go;
  // It may still be told when this is over.
  auto gone = std::make_shared<std::promise<void>>();
  auto held = std::make_shared<int>(1);
  auto is_free = go.get_future().share();
  std::vector<int> done;
  {
    task_queue queue{2};
    ASSERT_TRUE(queue.post(0, [&begun, gone, is_free] {
      begun.set_value();
      is_free.wait();
      gone->set_value();
    }));
    ASSERT_TRUE(queue.post(1, [&done, held] { done.push_back(1); }));
    begun.get_future().wait(); // what has not begun would be dropped
    EXPECT_FALSE(queue.stop_within(std::chrono::milliseconds{0}));
    EXPECT_EQ(held.use_count(), 1) << "what waits is dropped";
    EXPECT_FALSE(queue.post(0, [] {}));
  }
  go.set_value();
  gone->get_future().wait();
  EXPECT_TRUE(done.empty());
}

TEST(TaskQueue, DoesWhatWaitsIfThatTakesNoLonger) {
  std::vector<int> done;
  task_queue queue{2};
  ASSERT_TRUE(queue.post(1, [&] { done.push_back(0); }));
  ASSERT_TRUE(queue.post(1, [&] { done.push_back(1); }));
  EXPECT_TRUE(queue.stop_within(std::chrono::minutes{1}));
  EXPECT_EQ(done, (std::vector<int>{0, 1}));
}

} // namespace

} // namespace troupe
