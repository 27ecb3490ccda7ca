/// Jobs of many are done in turns.

#include "runtime/turn_queue.hpp"

#include <gtest/gtest.h>

#include <future>
#include <string>

using namespace troupe;

namespace {

bool nothing() {
  return false;
}

} // namespace

TEST(JobTurns, GoRoundThoseWhoHaveAny) {
  job_turns turns{100};
  std::string done;
  auto add = [&](uint64_t whose, char name) {
    EXPECT_TRUE(turns.add(whose, [&done, name] {
      done += name;
      return true;
    }));
  };
  for (auto name : {'a', 'b', 'c', 'd'})
    add(1, name);
  add(2, 'x');
  add(3, 'y');
  add(3, 'z');
  EXPECT_EQ(turns.num_waiting(), 7u);
  turns.take().what();
  turns.take().what();
  add(2, 'w'); // behind those who wait already
  while (auto job = turns.take().what)
    job();
  EXPECT_EQ(done, "axybwzcd");
  EXPECT_EQ(turns.num_waiting(), 0u);
}

TEST(JobTurns, HaveALimitForAllTogether) {
  job_turns turns{2};
  EXPECT_TRUE(turns.add(1, nothing));
  EXPECT_TRUE(turns.add(2, nothing));
  EXPECT_FALSE(turns.add(3, nothing));
  turns.take();
  EXPECT_TRUE(turns.add(3, nothing));
  EXPECT_EQ(turns.take_all().size(), 2u);
  EXPECT_FALSE(turns.take().what);
}

TEST(JobTurns, CountWhatJobsCost) {
  job_turns turns{100};
  EXPECT_TRUE(turns.add(1, nothing, 60));
  EXPECT_FALSE(turns.add(2, nothing, 41));
  EXPECT_FALSE(turns.add(2, nothing, SIZE_MAX));
  EXPECT_TRUE(turns.add(2, nothing, 40));
  turns.take();
  EXPECT_FALSE(turns.add(1, nothing, 61));
  EXPECT_TRUE(turns.add(1, nothing, 60));
}

// Of requests that are gone.
TEST(TurnQueue, AJobThatDoesNothingIsNoTurn) {
  turn_queue queue{100};
  std::promise<void> began;
  std::promise<void> go;
  ASSERT_TRUE(queue.post(1, [&] {
    began.set_value();
    go.get_future().wait();
    return true;
  }));
  began.get_future().wait();
  std::string done;
  std::promise<void> last;
  auto add = [&](uint64_t whose, char name) {
    EXPECT_TRUE(queue.post(whose, [&, name] {
      done += name;
      if (name == 'z')
        last.set_value();
      return true;
    }));
  };
  for (int i = 0; i < 5; ++i)
    EXPECT_TRUE(queue.post(2, nothing));
  add(2, 'a');
  for (auto name : {'v', 'w', 'x', 'y', 'z'})
    add(3, name);
  EXPECT_TRUE(queue.post(4, nothing)); // and has no other one
  go.set_value();
  last.get_future().wait();
  EXPECT_EQ(done, "avwxyz");
}

TEST(TurnQueue, DoesWhatItIsGivenAndDropsTheRestAtItsEnd) {
  turn_queue queue{4};
  std::promise<void> began;
  std::promise<void> go;
  ASSERT_TRUE(queue.post(1, [&] {
    began.set_value();
    go.get_future().wait();
    return true;
  }));
  began.get_future().wait();
  std::string done;
  std::promise<void> second;
  ASSERT_TRUE(queue.post(1, [&] {
    done += 'b';
    return true;
  }));
  ASSERT_TRUE(queue.post(1, [&] {
    done += 'c';
    second.set_value();
    return true;
  }));
  ASSERT_TRUE(queue.post(2, [&] {
    done += 'x';
    return true;
  }));
  ASSERT_TRUE(queue.post(3, nothing));
  EXPECT_FALSE(queue.post(4, nothing)) << "so many may wait";
  go.set_value();
  second.get_future().wait();
  EXPECT_EQ(done, "bxc");
  auto held = std::make_shared<int>(0);
  std::promise<void> busy;
  std::promise<void> end;
  ASSERT_TRUE(queue.post(1, [&] {
    busy.set_value();
    end.get_future().wait();
    return true;
  }));
  busy.get_future().wait();
  ASSERT_TRUE(queue.post(1, [held] { return ++*held > 0; }));
  end.set_value();
  queue.stop_now();
  EXPECT_FALSE(queue.post(1, nothing));
  EXPECT_EQ(held.use_count(), 1);
}
