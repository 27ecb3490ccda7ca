#include "runtime/transport/emulated_link.hpp"

#include "runtime/fnv.hpp"
#include "runtime/sim/virtual_channel.hpp"
#include "tests/unit/runtime/fuzz.hpp"

#include <gtest/gtest.h>

#include <cstring>

using namespace troupe;
using namespace std::chrono_literals;

namespace {

using instant = troupe::clock::instant;
using arrivals = std::vector<std::pair<uint64_t, std::chrono::nanoseconds>>;

/// When frames of a link arrive, by their ids, counted from `start`.
class recorder {
public:
  explicit recorder(link_model model, uint64_t seed = 1) : link(model, seed) {
  }

  void offer(uint64_t id, std::chrono::nanoseconds at,
             frame_class kind = frame_class::dispatch, size_t size = 0) {
    record(at);
    frame_header header;
    header.kind = kind;
    header.id = id;
    auto bytes = std::make_shared<std::vector<std::byte>>(size);
    link.offer({header, {bytes, *bytes}}, start + at);
  }

  /// Asks whenever the link says that it is worth it.
  void record(std::chrono::nanoseconds until) {
    for (auto at = link.next(); at && *at <= start + until; at = link.next())
      if (last_ = std::max(last_, *at); auto x = link.take(last_))
        got.emplace_back(x->header.id, last_ - start);
  }

  static constexpr instant start{1h};
  emulated_link link;
  arrivals got;

private:
  instant last_ = start;
};

link_model slow(uint64_t bytes_per_second = 0) {
  return {.latency = 2ms, .bytes_per_second = bytes_per_second};
}

/// What the virtual world makes of the same frames on the same link.
class virtual_recorder {
public:
  explicit virtual_recorder(link_model model)
    : link_(w_, 1, 2, model, 1ms),
      channel_(
        w_, link_, from_, w_.begin_life(2), pool_,
        [](auto& x) {
          x.bytes[5] = std::byte(x.header.kind);
          std::memcpy(&x.bytes[8], &x.header.id, 8);
          return true;
        },
        [this](packet x) {
          uint64_t id = 0;
          std::memcpy(&id, &x.header[8], 8);
          got.emplace_back(id, w_.now() - start_);
        }) {
  }

  void offer(uint64_t id, std::chrono::nanoseconds at, frame_class kind,
             size_t size) {
    w_.at(from_, start_ + at, [this, id, kind, size] {
      virtual_channel::parcel x{};
      x.header.kind = kind;
      x.header.id = id;
      auto bytes = std::make_shared<std::vector<std::byte>>(size);
      x.payload = {bytes, *bytes};
      channel_.offer(std::move(x));
    });
  }

  void run() {
    w_.run_for(1h);
  }

  arrivals got;

private:
  world w_{9};
  const virtual_instant start_ = w_.now();
  life_id from_ = w_.begin_life(1);
  std::shared_ptr<block_pool> pool_ = std::make_shared<block_pool>(1 << 20);
  virtual_link link_;
  virtual_channel channel_;
};

} // namespace

TEST(EmulatedLink, BringsEveryFrameAfterTheLatency) {
  recorder x{slow()};
  EXPECT_EQ(x.link.next(), std::nullopt);
  x.offer(1, 0ms);
  EXPECT_EQ(x.link.next(), x.start + 2ms);
  x.offer(2, 1500us);
  x.record(2ms - 1ns);
  EXPECT_EQ(x.got, arrivals{});
  x.record(1h);
  EXPECT_EQ(x.got, (arrivals{{1, 2ms}, {2, 3500us}}));
  EXPECT_EQ(x.link.next(), std::nullopt);
}

TEST(EmulatedLink, WhoAsksLateGetsAllThatHasArrived) {
  recorder x{slow(1'000'000)}; // 1 us for each byte
  for (uint64_t i = 0; i < 3; ++i)
    x.offer(i, 0ms, frame_class::combine, 1000 - frame_header::size);
  EXPECT_EQ(x.link.num_unsent(), 3000u);
  std::vector<uint64_t> got;
  while (auto y = x.link.take(x.start + 4500us))
    got.push_back(y->header.id);
  EXPECT_EQ(got, (std::vector<uint64_t>{0, 1}));
  EXPECT_EQ(x.link.num_unsent(), 0u);
  x.record(1h);
  EXPECT_EQ(x.got, (arrivals{{2, 5ms}})) << "as if it had been asked in time";
}

TEST(EmulatedLink, LanesShareItsRateAndControlGoesFirst) {
  recorder x{slow(1'000'000)};
  auto size = 1000 - frame_header::size;
  x.offer(1, 0ms, frame_class::bulk, size);
  x.offer(2, 0ms, frame_class::bulk, size);
  x.offer(3, 0ms, frame_class::dispatch, size);
  x.offer(4, 0ms, frame_class::control, size);
  x.record(1h);
  EXPECT_EQ(x.got, (arrivals{{1, 3ms}, {4, 4ms}, {3, 5ms}, {2, 6ms}}));
}

TEST(EmulatedLink, HasNoMoreInTheAirThanItsQueue) {
  auto model = slow();
  model.max_queue = 2000;
  recorder x{model};
  for (uint64_t i = 0; i < 3; ++i)
    x.offer(i, 0ms, frame_class::dispatch, 1000 - frame_header::size);
  x.offer(3, 0ms, frame_class::dispatch, 5000);
  x.offer(4, 0ms, frame_class::control);
  EXPECT_EQ(x.link.num_unsent(), 1000u + 5064);
  x.record(1h);
  EXPECT_EQ(x.got, (arrivals{{4, 2ms}, {0, 2ms}, {1, 2ms}, {2, 4ms}, {3, 6ms}}))
    << "one frame at least, however large";
}

TEST(EmulatedLink, JitterComesFromTheSeedAndKeepsTheOrderOfALane) {
  auto model = slow();
  model.jitter = 1ms;
  auto run = [&](uint64_t seed) {
    recorder x{model, seed};
    for (uint64_t i = 0; i < 1000; ++i)
      x.offer(i, 100us * i);
    x.record(1h);
    return x.got;
  };
  auto first = run(1);
  ASSERT_EQ(first.size(), 1000u);
  for (uint64_t i = 0; i < 1000; ++i) {
    EXPECT_EQ(first[i].first, i);
    EXPECT_GE(first[i].second, 100us * i + 2ms);
  }
  EXPECT_EQ(run(1), first);
  EXPECT_NE(run(2), first);
}

TEST(EmulatedLink, GivesBackAllThatItHoldsInTheOrderOfEachLane) {
  auto model = slow(1'000'000);
  model.max_queue = 2000;
  recorder x{model};
  for (uint64_t i = 0; i < 6; ++i)
    x.offer(i, 0ms, i % 2 ? frame_class::control : frame_class::combine, 900);
  EXPECT_FALSE(x.link.take(x.start + 1ms)) << "one is in the air, one leaves";
  std::vector<uint64_t> even, odd;
  for (auto& y : x.link.take_all())
    (y.header.id % 2 ? odd : even).push_back(y.header.id);
  EXPECT_EQ(even, (std::vector<uint64_t>{0, 2, 4}));
  EXPECT_EQ(odd, (std::vector<uint64_t>{1, 3, 5}));
  EXPECT_EQ(x.link.num_unsent(), 0u);
  x.record(1h);
  EXPECT_EQ(x.got, arrivals{});
}

/// The promise of the shared model: what is measured on an emulated link can be
/// foretold in the virtual world.
TEST(EmulatedLink, BringsFramesWhenTheVirtualWorldDoes) {
  constexpr frame_class kinds[] = {frame_class::control, frame_class::dispatch,
                                   frame_class::combine, frame_class::bulk};
  test::chance dice;
  for (int round = 0; round < 50; ++round) {
    link_model model;
    model.latency = std::chrono::nanoseconds{int64_t(dice.below(3'000'000))};
    model.jitter = dice.one_in(2) ? 0ns : 300us;
    model.bytes_per_second = dice.one_in(3) ? 0
                                            : 1'000'000 + dice.below(1 << 30);
    model.max_queue = 1 + dice.below(1 << 16);
    auto seed = random_stream::mix(9) ^ fnv_1a("link 1 2");
    recorder real{model, seed};
    virtual_recorder expected{model};
    std::chrono::nanoseconds at{};
    for (uint64_t id = 0; id < 200; ++id) {
      at += std::chrono::nanoseconds{int64_t(dice.below(200'000))};
      auto kind = kinds[dice.below(4)];
      auto size = dice.below(20'000);
      real.offer(id, at, kind, size);
      expected.offer(id, at, kind, size);
    }
    real.record(1h);
    expected.run();
    ASSERT_EQ(real.got.size(), 200u);
    EXPECT_EQ(real.got, expected.got) << "round " << round;
  }
}
