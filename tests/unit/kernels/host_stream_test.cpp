#include "kernels/host/host_stream.hpp"

#include <gtest/gtest.h>

#include <future>

using namespace troupe::kernels;

namespace {

/// An operation that carries only a number, for streams whose run function is
/// the test's own.
operation numbered(uint64_t number) {
  copy_out op;
  op.src = {0, number, 0};
  return op;
}

uint64_t number_of(const operation& op) {
  return std::get<copy_out>(op).src.offset;
}

/// Streams over one pool whose operations append their numbers to a log.
class HostStream : public testing::TestWithParam<uint32_t> {
protected:
  std::unique_ptr<host_stream> make(host_stream::run_fn run) {
    return std::make_unique<host_stream>(pool_, std::move(run));
  }

  std::unique_ptr<host_stream> make_logger() {
    return make([this](const operation& op) {
      std::lock_guard guard(mutex_);
      log_.push_back(number_of(op));
      return std::string();
    });
  }

  std::shared_ptr<thread_pool> pool_
    = std::make_shared<thread_pool>(GetParam());
  std::mutex mutex_;
  std::vector<uint64_t> log_;
};

std::vector<uint64_t> first_numbers(uint64_t count) {
  std::vector<uint64_t> out(count);
  for (uint64_t i = 0; i < count; ++i)
    out[i] = i;
  return out;
}

TEST_P(HostStream, RunsOperationsInOrder) {
  auto s = make_logger();
  for (uint64_t i = 0; i < 1000; ++i)
    s->enqueue(numbered(i));
  EXPECT_TRUE(synchronize(*s));
  EXPECT_EQ(log_, first_numbers(1000));
}

TEST_P(HostStream, WaitsForWhatWasEnqueuedWhenItEnds) {
  make_logger()->enqueue(numbered(0));
  auto s = make_logger();
  for (uint64_t i = 1; i < 100; ++i)
    s->enqueue(numbered(i));
  s.reset();
  EXPECT_EQ(log_, first_numbers(100));
}

TEST_P(HostStream, OrdersStreamsByEvents) {
  auto a = make_logger();
  auto b = make_logger();
  for (uint64_t i = 0; i < 200; i += 2) {
    a->enqueue(numbered(i));
    b->wait(a->record());
    b->enqueue(numbered(i + 1));
    a->wait(b->record());
  }
  EXPECT_TRUE(synchronize(*a));
  EXPECT_TRUE(synchronize(*b));
  EXPECT_EQ(log_, first_numbers(200));
}

TEST_P(HostStream, OccupiesNoThreadWhileItWaits) {
  // Twice as many streams as threads wait for one that starts after them all.
  auto last = make_logger();
  std::promise<void> opened;
  auto gate = opened.get_future().share();
  std::atomic<uint32_t> num_waiting = 0;
  auto first = make([&](const operation&) {
    if (pool_->num_threads() > 1)
      gate.wait();
    return std::string();
  });
  first->enqueue(numbered(0));
  last->wait(first->record());
  last->enqueue(numbered(0));
  auto done = last->record();
  std::vector<std::unique_ptr<host_stream>> waiting;
  for (uint32_t i = 0; i < 2 * GetParam(); ++i) {
    waiting.push_back(make_logger());
    waiting.back()->notify([&](const stream_status&) {
      if (++num_waiting == 2 * GetParam())
        opened.set_value();
    });
    waiting.back()->wait(done);
    waiting.back()->enqueue(numbered(i + 1));
  }
  for (auto& s : waiting)
    EXPECT_TRUE(synchronize(*s));
  EXPECT_EQ(log_.size(), 1 + 2 * GetParam());
  EXPECT_EQ(log_.front(), 0u);
}

TEST_P(HostStream, SkipsOperationsAfterAFailure) {
  std::atomic<int> calls = 0;
  auto s = make([&](const operation& op) {
    ++calls;
    return number_of(op) == 3 ? std::string("copy_out: no such page") : "";
  });
  for (uint64_t i = 0; i < 3; ++i)
    s->enqueue(numbered(i));
  EXPECT_TRUE(synchronize(*s));
  for (uint64_t i = 3; i < 6; ++i)
    s->enqueue(numbered(i));
  EXPECT_EQ(synchronize(*s).failure, "copy_out: no such page");
  EXPECT_EQ(synchronize(*s).failure, "copy_out: no such page");
  EXPECT_EQ(calls, 4);
}

TEST_P(HostStream, PoisonsStreamsThatWaitForAPoisonedOne) {
  auto bad = make([](const operation&) { return std::string("broken"); });
  auto before = bad->record();
  bad->enqueue(numbered(0));
  auto after = bad->record();
  auto s = make_logger();
  s->wait(before);
  s->enqueue(numbered(0));
  EXPECT_TRUE(synchronize(*s));
  s->wait(after);
  s->enqueue(numbered(1));
  EXPECT_EQ(synchronize(*s).failure, "broken");
  EXPECT_EQ(log_, first_numbers(1));
}

TEST_P(HostStream, LetsGoOfMemoryBeforeTheNextNotice) {
  auto s = make([](const operation&) { return std::string(); });
  auto kept = std::make_shared<int>(1);
  std::weak_ptr<int> watch = kept;
  auto op = numbered(0);
  std::get<copy_out>(op).keep_alive = std::move(kept);
  s->enqueue(std::move(op));
  bool gone = false;
  s->notify([&](const stream_status&) { gone = watch.expired(); });
  synchronize(*s);
  EXPECT_TRUE(gone);
}

TEST_P(HostStream, MayOutliveItsOwnersReferenceToThePool) {
  auto s = make_logger();
  pool_.reset();
  for (uint64_t i = 0; i < 100; ++i)
    s->enqueue(numbered(i));
  s.reset();
  EXPECT_EQ(log_, first_numbers(100));
}

TEST_P(HostStream, ComputesManyStreamsBesideEachOther) {
  std::vector<std::unique_ptr<host_stream>> streams;
  std::atomic<uint64_t> sum = 0;
  for (int i = 0; i < 8; ++i)
    streams.push_back(make([&](const operation& op) {
      pool_->parallel_for(3, [&](uint32_t) { sum += number_of(op); });
      return std::string();
    }));
  for (uint64_t i = 0; i < 200; ++i)
    for (auto& s : streams)
      s->enqueue(numbered(i));
  for (auto& s : streams)
    EXPECT_TRUE(synchronize(*s));
  EXPECT_EQ(sum, 8u * 3 * (199 * 200 / 2));
}

INSTANTIATE_TEST_SUITE_P(Threads, HostStream, testing::Values(1u, 2u, 4u));

} // namespace
