/// What a store is used with: host memory, threads, judgements.

#include "runtime/kv_store/fetch_choice.hpp"
#include "runtime/kv_store/host_buffers.hpp"
#include "runtime/kv_store/kv_health.hpp"
#include "runtime/kv_store/kv_io.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace troupe {

namespace {

TEST(HostBuffers, ComeBackAndSaySoToWhoHadNone) {
  auto dev = kernels::make_reference_device(0);
  auto all = host_buffers::make(*dev, 2, 1000);
  ASSERT_TRUE(all);
  int num_freed = 0;
  all->set_on_free([&] { ++num_freed; });
  auto a = all->take(), b = all->take();
  ASSERT_TRUE(a && b);
  EXPECT_GE(a->size(), 1000u);
  EXPECT_NE(a->data(), b->data());
  b = nullptr;
  EXPECT_EQ(num_freed, 0) << "nobody wanted one";
  b = all->take();
  EXPECT_FALSE(all->take());
  auto also_a = a;
  a = nullptr;
  EXPECT_EQ(num_freed, 0);
  also_a = nullptr;
  EXPECT_EQ(num_freed, 1);
  EXPECT_TRUE(all->take());
  all = nullptr; // b may come back later
}

TEST(HostBuffers, AreAsManyAsMakeSense) {
  EXPECT_EQ(host_buffers::good_count(4'500'000), 29u);
  EXPECT_EQ(host_buffers::good_count(64 << 10), 128u);
  EXPECT_EQ(host_buffers::good_count(1ull << 40), 4u);
}

TEST(KvIo, WithoutThreadsDoesWhatIsPosted) {
  kv_io io{0};
  int done = 0;
  EXPECT_TRUE(io.read([&] { ++done; }));
  EXPECT_TRUE(io.write([&] { ++done; }));
  EXPECT_EQ(done, 2);
}

TEST(KvIo, WritesLeaveAThreadToReads) {
  std::promise<void> may_end;
  auto end = may_end.get_future().share();
  std::atomic<int> num_written{0};
  kv_io io{2};
  for (int i = 0; i < 4; ++i)
    EXPECT_TRUE(io.write([&, end] {
      end.wait();
      ++num_written;
    }));
  std::promise<void> was_read;
  EXPECT_TRUE(io.read([&] { was_read.set_value(); }));
  was_read.get_future().wait(); // for ever, if writes had both threads
  EXPECT_EQ(num_written, 0);
  may_end.set_value();
}

TEST(KvIo, ReadsWithoutEndDoNotKeepWritesWaiting) {
  std::promise<void> may_begin;
  auto begin = may_begin.get_future().share();
  std::promise<int> written_after;
  std::atomic<int> num_read{0};
  kv_io io{1};
  EXPECT_TRUE(io.read([begin] { begin.wait(); })); // the first in a row
  for (int i = 0; i < 100; ++i)
    EXPECT_TRUE(io.read([&] { ++num_read; }));
  EXPECT_TRUE(io.write([&] { written_after.set_value(num_read); }));
  may_begin.set_value();
  EXPECT_EQ(written_after.get_future().get(), int(kv_io::reads_to_a_write) - 1);
}

TEST(KvIo, DoesWhatWaitsToBeWrittenBeforeItEnds) {
  std::atomic<int> num_written{0};
  {
    kv_io io{2};
    for (int i = 0; i < 100; ++i)
      EXPECT_TRUE(io.write([&] { ++num_written; }));
  }
  EXPECT_EQ(num_written, 100);
}

TEST(KvIo, RefusesWhatIsTooMuch) {
  std::promise<void> may_end;
  auto end = may_end.get_future().share();
  kv_io io{1};
  EXPECT_TRUE(io.write([end] { end.wait(); }));
  size_t num_taken = 0;
  while (num_taken < 2 * kv_io::max_waiting && io.write([] {}))
    ++num_taken;
  EXPECT_LE(num_taken, kv_io::max_waiting + 1);
  EXPECT_GE(num_taken, kv_io::max_waiting - 1);
  may_end.set_value();
}

/// The next process is not to find what was spoilt.
TEST(KvIo, ErasesBeforeAllElseHoweverMuchWaits) {
  std::promise<void> may_begin;
  std::vector<std::string> done;
  {
    kv_io io{1};
    EXPECT_TRUE(io.write([&] { may_begin.get_future().wait(); }));
    while (io.write([&] { done.emplace_back("write"); })) {
    }
    EXPECT_TRUE(io.read([&] { done.emplace_back("read"); }));
    for (auto i = 0; i < 2; ++i)
      io.erase([&] { done.emplace_back("erase"); });
    io.drop_writes();
    EXPECT_TRUE(io.write([&] { done.emplace_back("write"); }));
    may_begin.set_value();
  }
  std::erase(done, "read");
  EXPECT_EQ(done, (std::vector<std::string>{"erase", "erase", "write"}));
}

/// The place of what is erased may have been given to another already.
TEST(KvIo, NothingIsWrittenBeforeAllIsErasedThatWasToBe) {
  std::atomic<int> num_erased{0};
  kv_io io{4};
  for (int i = 1; i <= 200; ++i) {
    io.erase([&] { ++num_erased; });
    EXPECT_TRUE(io.write([&, i] { EXPECT_GE(num_erased, i); }));
  }
}

TEST(KvIo, DropsWhatWaitsAndSaysSo) {
  std::promise<void> begun, may_end;
  kv_io io{1};
  EXPECT_TRUE(io.write(
    [&] {
      begun.set_value();
      may_end.get_future().wait();
    },
    [] { ADD_FAILURE() << "it is in hand"; }));
  begun.get_future().wait();
  std::atomic<int> num_dropped{0}, num_done{0};
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(io.write([&] { ++num_done; }, [&] { ++num_dropped; }));
    EXPECT_TRUE(io.read([&] { ++num_done; }, [&] { num_dropped += 10; }));
  }
  io.drop_writes();
  EXPECT_EQ(num_dropped, 3);
  io.drop_reads();
  EXPECT_EQ(num_dropped, 33);
  may_end.set_value();
  std::promise<void> last;
  EXPECT_TRUE(io.read([&] { last.set_value(); }));
  last.get_future().wait();
  EXPECT_EQ(num_done, 0);
}

/// A disk that hangs is left to itself.
TEST(KvIo, EndsThoughAJobDoesNot) {
  auto may_end = std::make_shared<std::promise<void>>();
  auto ended = std::make_shared<std::promise<void>>();
  {
    kv_io io{1};
    std::promise<void> begun;
    io.read([end = may_end->get_future().share(), ended, &begun] {
      begun.set_value();
      end.wait();
      ended->set_value();
    });
    begun.get_future().wait();
    EXPECT_TRUE(io.write([] {}));
  }
  may_end->set_value();
  ended->get_future().wait();
}

TEST(FetchChoice, TakesWhatIsFaster) {
  fetch_choice x{2};
  EXPECT_TRUE(x.is_worth_it(100, 0, 1e-9)) << "nothing is known yet";
  for (int i = 0; i < 20; ++i)
    x.add(0.010);
  EXPECT_NEAR(x.seconds_for(20, 0), 0.1, 1e-9);
  EXPECT_TRUE(x.is_worth_it(20, 0, 0.2));
  EXPECT_FALSE(x.is_worth_it(20, 0, 0.05));
  EXPECT_FALSE(x.is_worth_it(20, 60, 0.2)) << "others are before it";
  EXPECT_TRUE(x.is_worth_it(20, 0, 0)) << "who knows";
}

TEST(FetchChoice, TriesAgainNowAndThen) {
  fetch_choice x{1};
  for (int i = 0; i < 20; ++i)
    x.add(1);
  int num_tried = 0;
  for (int i = 0; i < 160; ++i)
    num_tried += x.is_worth_it(1, 0, 0.5);
  EXPECT_EQ(num_tried, 10);
  for (int i = 0; i < 100; ++i)
    x.add(0.01); // it is faster now
  EXPECT_TRUE(x.is_worth_it(1, 0, 0.5));
  EXPECT_TRUE(x.is_worth_it(1, 0, 0.5));
}

TEST(KvHealth, AFullDiskIsStillRead) {
  kv_health x;
  EXPECT_EQ(x.write_failed("it is full"),
            "nothing more is written to the KV cache on disk: it is full");
  EXPECT_EQ(x.write_failed("it is full"), "") << "said once";
  EXPECT_FALSE(x.may_write());
  EXPECT_TRUE(x.may_read());
  EXPECT_NE(x.read_failed(), "");
  EXPECT_FALSE(x.may_read());
  EXPECT_EQ(x.read_failed(), "");
}

TEST(KvHealth, ADiskThatHangsIsGivenUp) {
  kv_health x;
  clock::instant t{};
  EXPECT_EQ(x.reads_wait(t, t + kv_health::patience), "");
  EXPECT_EQ(x.reads_wait(t, t + kv_health::patience + std::chrono::seconds{1}),
            "the KV cache on disk is off: it has not answered for 10 s");
  EXPECT_FALSE(x.may_write());
  EXPECT_FALSE(x.may_read());
}

TEST(KvHealth, DamageIsAnAccidentUnlessItIsMuchAtOnce) {
  kv_health slow, fast;
  clock::instant t{};
  for (int i = 0; i < 1000; ++i)
    EXPECT_EQ(slow.found_damaged(t + i * std::chrono::seconds{30}), "");
  for (size_t i = 1; i < kv_health::max_damaged; ++i)
    EXPECT_EQ(fast.found_damaged(t), "");
  EXPECT_NE(fast.found_damaged(t), "");
  EXPECT_FALSE(fast.may_read());
}

} // namespace

} // namespace troupe
