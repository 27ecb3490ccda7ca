// What a frame costs in memory: nothing, once those before it have been
// through. Every `new` of this process is counted while frames go to and fro
// between two nodes of it; UCX's own memory is malloc's and is not. And what it
// costs to plan who gets which rows: nothing either.

#include "runtime/dispatch/dispatch_planner.hpp"
#include "runtime/dispatch/slab_pool.hpp"
#include "runtime/transport/loopback.hpp"
#include "runtime/transport/ucx_transport.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <new>
#include <numeric>
#include <random>
#include <vector>

namespace {

std::atomic<bool> is_counting = false;
std::atomic<size_t> num_allocations = 0;

void* allocate(size_t n, size_t alignment) noexcept {
  if (is_counting)
    ++num_allocations;
  auto rounded = (n + alignment - 1) / alignment * alignment;
  return std::aligned_alloc(alignment, rounded);
}

void* must(void* p) {
  return p ? p : throw std::bad_alloc{};
}

constexpr size_t usual = __STDCPP_DEFAULT_NEW_ALIGNMENT__;

} // namespace

// Those of arrays end in these. Not inlined: the compiler would take malloc and
// delete, or new and free, for a mismatch.

#define NOT_INLINED __attribute__((noinline))

NOT_INLINED void* operator new(size_t n) {
  return must(allocate(n, usual));
}

NOT_INLINED void* operator new(size_t n, std::align_val_t alignment) {
  return must(allocate(n, size_t(alignment)));
}

NOT_INLINED void* operator new(size_t n, const std::nothrow_t&) noexcept {
  return allocate(n, usual);
}

NOT_INLINED void operator delete(void* p) noexcept {
  std::free(p);
}

NOT_INLINED void operator delete(void* p, size_t) noexcept {
  std::free(p);
}

NOT_INLINED void operator delete(void* p, const std::nothrow_t&) noexcept {
  std::free(p);
}

NOT_INLINED void operator delete(void* p, std::align_val_t) noexcept {
  std::free(p);
}

NOT_INLINED void operator delete(void* p, size_t, std::align_val_t) noexcept {
  std::free(p);
}

namespace troupe {

namespace {

using namespace std::chrono_literals;

/// Sets a variable of the environment for as long as it lives.
class setting {
public:
  setting(const char* name, const char* value) : name_(name) {
    ::setenv(name, value, 1);
  }

  setting(const setting&) = delete;
  setting& operator=(const setting&) = delete;

  ~setting() {
    ::unsetenv(name_);
  }

private:
  const char* name_;
};

/// A node that keeps what comes until it is told to answer.
class echo {
public:
  transport_handler handler() {
    return {
      .on_frame = [this](node_id from,
                         frame&& x) { on_frame(from, std::move(x)); },
      .on_peer_joined =
        [this](node_id, const node_identity&) {
          std::lock_guard guard{mutex_};
          has_joined_ = true;
          changed_.notify_all();
        },
    };
  }

  bool await_peer() {
    std::unique_lock guard{mutex_};
    return changed_.wait_for(guard, 60s, [this] { return has_joined_; });
  }

  std::unique_ptr<transport> self;

  /// Frames that are kept before all of them are answered.
  std::atomic<size_t> batch = 1;

private:
  void on_frame(node_id from, frame&& x) {
    kept_.push_back(std::move(x));
    if (kept_.size() < batch)
      return;
    for (auto& y : kept_)
      send_back(from, y.header.kind, std::move(y.payload));
    kept_.clear();
  }

  void send_back(node_id to, frame_class kind, body payload) {
    frame_header header;
    header.kind = kind;
    self->send(to, header, std::move(payload));
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  bool has_joined_ = false;
  std::vector<frame> kept_;
};

/// Sends frames and waits for as many answers.
class caller {
public:
  transport_handler handler() {
    auto out = peer_.handler();
    out.on_frame = [this](node_id, frame&& x) {
      std::lock_guard guard{mutex_};
      num_bytes_ += x.payload.bytes().size();
      ++num_answers_;
      changed_.notify_all();
    };
    return out;
  }

  bool await_peer() {
    return peer_.await_peer();
  }

  /// `count` frames on each lane; returns whether all have come back.
  bool call(const body& payload, size_t count) {
    num_answers_ = num_bytes_ = 0;
    for (size_t i = 0; i < count; ++i)
      for (auto kind : {frame_class::control, frame_class::dispatch}) {
        frame_header header;
        header.kind = kind;
        self->send(1, header, payload);
      }
    std::unique_lock guard{mutex_};
    auto all = changed_.wait_for(
      guard, 60s, [this, count] { return num_answers_ == 2 * count; });
    return all && num_bytes_ == 2 * count * payload.bytes().size();
  }

  std::unique_ptr<transport> self;

private:
  echo peer_;
  std::mutex mutex_;
  std::condition_variable changed_;
  size_t num_answers_ = 0, num_bytes_ = 0;
};

enum class carrier { loopback, tcp, shared_memory };

class Allocations : public testing::TestWithParam<carrier> {
protected:
  void SetUp() override {
    if (GetParam() == carrier::loopback)
      join_loopback();
    else
      join_ucx();
    ASSERT_TRUE(a_.await_peer());
  }

  /// Before the memory of those who are told goes, so do the threads.
  void TearDown() override {
    a_.self.reset();
    b_.self.reset();
  }

  void expect_none(size_t size) {
    auto data = std::make_shared<std::vector<std::byte>>(size);
    body payload{data, *data};
    // More at once than later, so that chance finds everything in store.
    constexpr size_t many = 24, few = 2;
    b_.batch = 2 * many;
    for (int i = 0; i < 20; ++i)
      ASSERT_TRUE(a_.call(payload, many));
    b_.batch = 1;
    num_allocations = 0;
    is_counting = true;
    auto all = true;
    for (int i = 0; i < 100; ++i)
      all &= a_.call(payload, few);
    is_counting = false;
    EXPECT_TRUE(all);
    EXPECT_EQ(num_allocations, 0u) << "400 frames there, 400 back, of " << size;
  }

private:
  void join_loopback() {
    a_.self = loopback_.join(0, {"node-0", 1, 0, {}}, a_.handler());
    b_.self = loopback_.join(1, {"node-1", 2, 0, {}}, b_.handler());
  }

  void join_ucx() {
    auto is_shared = GetParam() == carrier::shared_memory;
    setting transports{"UCX_TLS", is_shared ? "posix,tcp,self" : "tcp,self"};
    setting errors{"UCX_POSIX_ERROR_HANDLING", "y"};
    auto a = listen(0, a_.handler());
    auto b = listen(1, b_.handler());
    ASSERT_TRUE(a && b);
    b->connect(0, {a->self().listen, {}, 10s});
    a_.self = std::move(a);
    b_.self = std::move(b);
  }

  std::unique_ptr<ucx_transport> listen(node_id id, transport_handler handler) {
    ucx_options options;
    options.self.name = std::to_string(id);
    options.self_id = id;
    options.window = size_t{1} << 20; // so that frames wait for room
    auto admit = [](const node_identity& who) {
      return result<node_id>{node_id(std::stoi(who.name))};
    };
    auto net = ucx_transport::listen(options, {time_, chance_, log_}, {admit},
                                     std::move(handler));
    return net ? std::move(*net) : nullptr;
  }

  system_clock time_;
  system_entropy chance_;
  logger log_{"test", log_level::error};
  loopback_network loopback_;
  caller a_;
  echo b_;
};

const char* name_of(carrier x) {
  constexpr const char* names[] = {"Loopback", "Tcp", "SharedMemory"};
  return names[size_t(x)];
}

INSTANTIATE_TEST_SUITE_P(Carriers, Allocations,
                         testing::Values(carrier::loopback, carrier::tcp,
                                         carrier::shared_memory),
                         [](auto& x) { return name_of(x.param); });

} // namespace

TEST_P(Allocations, AFrameWithoutABodyTakesNoNewMemory) {
  expect_none(0);
}

TEST_P(Allocations, ASmallFrameTakesNoNewMemory) {
  expect_none(64);
}

TEST_P(Allocations, ARowTakesNoNewMemory) {
  expect_none(7168);
}

TEST_P(Allocations, ManyRowsTakeNoNewMemory) {
  expect_none(458752);
}

TEST_P(Allocations, AFrameBeyondAnySegmentTakesNoNewMemory) {
  expect_none(2 << 20);
}

TEST(AllocationsOfSlabs, TheNextSlabToSendTakesNoNewMemory) {
  slab_pool pool{1 << 20};
  pool.take(7168);
  num_allocations = 0;
  is_counting = true;
  for (int i = 0; i < 100; ++i)
    pool.take(7168);
  is_counting = false;
  EXPECT_EQ(num_allocations, 0u);
}

TEST(AllocationsOfPlans, TheNextDispatchTakesNoNewMemory) {
  constexpr uint32_t num_experts = 64, num_rows = 40, top_k = 4;
  placement map{2, num_experts, 8, {0, 0, 1, 1, 1, 2, 2, 3}, 0, 1, 16};
  std::mt19937 random{1};
  std::vector<int32_t> all(num_experts);
  std::iota(all.begin(), all.end(), 0);
  std::vector<std::vector<int32_t>> routes(200);
  for (auto& x : routes)
    for (uint32_t row = 0; row < num_rows; ++row) {
      std::ranges::shuffle(all, random);
      x.insert(x.end(), all.begin(), all.begin() + top_k);
    }
  for (uint32_t max_rows : {num_rows, 12u}) {
    dispatch_planner planner{map, top_k, 0, max_rows};
    std::vector<uint32_t> positions(2 * num_rows);
    std::iota(positions.begin(), positions.end(), 0);
    dispatch_plan plan;
    auto first = routes[0]; // more rows than later, and some for everybody
    first.insert(first.end(), routes[1].begin(), routes[1].end());
    CHECK(planner.plan(0, first, positions, plan));
    num_allocations = 0;
    is_counting = true;
    for (auto& x : routes)
      for (auto n : {num_rows, 1u, max_rows - 1})
        CHECK(planner.plan(1, std::span{x}.first(size_t{n} * top_k),
                           std::span{positions}.first(n), plan));
    is_counting = false;
    EXPECT_EQ(num_allocations, 0u) << "at most " << max_rows << " in a piece";
  }
}

} // namespace troupe
