/// Jobs of many are done in turns.

#include "runtime/grammar/turn_queue.hpp"

#include <gtest/gtest.h>

#include <future>
#include <string>

using namespace troupe;

TEST(JobTurns, GoRoundThoseWhoHaveAny) {
  job_turns turns{100};
  std::string done;
  auto add = [&](uint64_t whose, char name) {
    EXPECT_TRUE(turns.add(whose, [&done, name] { done += name; }));
  };
  for (auto name : {'a', 'b', 'c', 'd'})
    add(1, name);
  add(2, 'x');
  add(3, 'y');
  add(3, 'z');
  EXPECT_EQ(turns.num_waiting(), 7u);
  turns.take()();
  turns.take()();
  add(2, 'w'); // behind those who wait already
  while (auto job = turns.take())
    job();
  EXPECT_EQ(done, "axybwzcd");
  EXPECT_EQ(turns.num_waiting(), 0u);
}

TEST(JobTurns, HaveALimitForAllTogether) {
  job_turns turns{2};
  EXPECT_TRUE(turns.add(1, [] {}));
  EXPECT_TRUE(turns.add(2, [] {}));
  EXPECT_FALSE(turns.add(3, [] {}));
  turns.take();
  EXPECT_TRUE(turns.add(3, [] {}));
  EXPECT_EQ(turns.take_all().size(), 2u);
  EXPECT_FALSE(turns.take());
}

TEST(TurnQueue, DoesWhatItIsGivenAndDropsTheRestAtItsEnd) {
  turn_queue queue{4};
  std::promise<void> began;
  std::promise<void> go;
  ASSERT_TRUE(queue.post(1, [&] {
    began.set_value();
    go.get_future().wait();
  }));
  began.get_future().wait();
  std::string done;
  std::promise<void> second;
  ASSERT_TRUE(queue.post(1, [&] { done += 'b'; }));
  ASSERT_TRUE(queue.post(1, [&] {
    done += 'c';
    second.set_value();
  }));
  ASSERT_TRUE(queue.post(2, [&] { done += 'x'; }));
  ASSERT_TRUE(queue.post(3, [] {}));
  EXPECT_FALSE(queue.post(4, [] {})) << "so many may wait";
  go.set_value();
  second.get_future().wait();
  EXPECT_EQ(done, "bxc");
  auto held = std::make_shared<int>(0);
  std::promise<void> busy;
  std::promise<void> end;
  ASSERT_TRUE(queue.post(1, [&] {
    busy.set_value();
    end.get_future().wait();
  }));
  busy.get_future().wait();
  ASSERT_TRUE(queue.post(1, [held] { ++*held; }));
  end.set_value();
  queue.stop_now();
  EXPECT_FALSE(queue.post(1, [] {}));
  EXPECT_EQ(held.use_count(), 1);
}
