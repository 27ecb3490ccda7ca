/// How long a request would wait, from what the service says.

#include "runtime/http/queue_watch.hpp"

#include <gtest/gtest.h>

#include <memory>

namespace troupe::http {

namespace {

using seconds = queue_watch::seconds;

constexpr uint64_t places = 10;

class QueueWatch : public testing::Test {
protected:
  QueueWatch() {
    make(seconds{20});
    info_.num_places = places;
    stats_.kv_blocks_total = stats_.kv_blocks_free = 100;
  }

  void make(seconds max_wait) {
    watch_ = std::make_unique<queue_watch>(max_wait);
  }

  void come(uint64_t count) {
    stats_.requests_accepted += count;
    see();
  }

  /// Time passes, then one request ends.
  void end_one(std::chrono::milliseconds after) {
    now_ += after;
    ++stats_.requests_finished;
    see();
  }

  void see() {
    watch_->see(now_, stats_, info_);
  }

  std::optional<seconds> wait(uint64_t num_blocks = 1) const {
    return watch_->too_long(stats_, info_, num_blocks);
  }

  std::unique_ptr<queue_watch> watch_;
  queue_watch::instant now_{};
  service_stats stats_;
  service_info info_;
};

TEST_F(QueueWatch, KnowsNothingUntilSomeHaveEnded) {
  come(1000);
  EXPECT_FALSE(wait());
  for (int i = 0; i < 3; ++i)
    end_one(std::chrono::seconds{1});
  EXPECT_FALSE(wait());
  end_one(std::chrono::seconds{1});
  ASSERT_TRUE(wait());
}

TEST_F(QueueWatch, ConcludesNothingOfMinutesFromAMoment) {
  make(seconds{600});
  come(places + 1000);
  for (int i = 0; i < 4; ++i)
    end_one(std::chrono::seconds{3});
  EXPECT_FALSE(wait()) << "12 s have been seen";
  for (int i = 0; i < 2; ++i)
    end_one(std::chrono::seconds{3});
  EXPECT_TRUE(wait());
}

TEST_F(QueueWatch, NobodyWaitsWhereNobodyIs) {
  come(places + 50);
  for (uint64_t i = 0; i < places + 50; ++i)
    end_one(std::chrono::seconds{100});
  // As a last step has said it that ran before the last end.
  stats_.kv_blocks_free = 0;
  EXPECT_FALSE(wait(1000));
  come(1);
  EXPECT_TRUE(wait(1000));
}

TEST_F(QueueWatch, SaysHowLongThoseBeforeWillTake) {
  come(places + 50);
  for (int i = 0; i < 10; ++i)
    end_one(std::chrono::seconds{1});
  ASSERT_TRUE(wait());
  EXPECT_NEAR(wait()->count(), 41, 8); // 40 wait, one a second
  while (stats_.requests_accepted - stats_.requests_finished > places + 10)
    end_one(std::chrono::seconds{1});
  EXPECT_FALSE(wait()) << "11 s may be waited";
}

TEST_F(QueueWatch, LetsInWhoNeedsNotWait) {
  come(places + 100);
  for (int i = 0; i < 10; ++i)
    end_one(std::chrono::seconds{5});
  EXPECT_TRUE(wait());
  while (stats_.requests_accepted - stats_.requests_finished >= places + 1)
    end_one(std::chrono::seconds{5});
  EXPECT_FALSE(wait());
}

TEST_F(QueueWatch, CountsNoTimeInWhichNobodyWaited) {
  come(places + 20);
  for (uint64_t i = 0; i < places + 20; ++i)
    end_one(std::chrono::milliseconds{100});
  now_ += std::chrono::hours{1};
  come(places + 50);
  EXPECT_FALSE(wait()) << "5 s, with ten a second";
  come(400);
  EXPECT_TRUE(wait());
}

TEST_F(QueueWatch, ForgetsWhatIsLongAgo) {
  come(places + 1000);
  for (int i = 0; i < 100; ++i)
    end_one(std::chrono::milliseconds{10});
  for (int i = 0; i < 20; ++i)
    end_one(std::chrono::seconds{10});
  // About 890 wait, and one ends in ten seconds.
  EXPECT_GT(wait()->count(), 5000);
}

TEST_F(QueueWatch, CountsThoseWhoWaitForBlocks) {
  come(places);
  stats_.requests_running = 4;
  stats_.requests_waiting = 6;
  see();
  for (int i = 0; i < 5; ++i)
    end_one(std::chrono::seconds{30});
  ASSERT_TRUE(wait()); // one waits, of five, and half a minute each
  stats_.requests_running = 5;
  stats_.requests_waiting = 0;
  EXPECT_FALSE(wait(100));
  EXPECT_TRUE(wait(101)) << "there are not so many";
}

} // namespace

} // namespace troupe::http
