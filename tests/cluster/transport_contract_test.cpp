// What every transport promises. All nodes live in this process; those of UCX
// still meet over 127.0.0.1.

#include "runtime/transport/loopback.hpp"
#include "tests/cluster/transport_fixture.hpp"

#include <future>
#include <random>
#include <thread>

namespace troupe {

using namespace transports;

namespace {

enum class kind { loopback, ucx };

struct TransportContract : testing::TestWithParam<kind> {
  TransportContract() {
    start(a, 0, 1);
    start(b, 1, 2);
    for (auto x : {&a, &b})
      EXPECT_TRUE(x->events.await([x] { return !x->joined.empty(); }));
  }

  /// A process that dials node 0, unless it is that.
  void start(node& x, node_id id, uint64_t incarnation) {
    if (GetParam() == kind::loopback) {
      x.self = loopback.join(
        id, {"node-" + std::to_string(id), incarnation, 0, {}}, x.handler());
      return;
    }
    ucx_options options;
    options.self.incarnation = incarnation;
    x.self = around.listen(x, id, options);
    if (id != 0)
      dial_first(x, id);
  }

  void dial_first(node& x, node_id id) {
    if (GetParam() == kind::loopback)
      return loopback.connect(id, 0);
    auto& to = static_cast<ucx_transport&>(*a.self).self().listen;
    static_cast<ucx_transport&>(*x.self).connect(0, {to, {}, 10s});
  }

  void expect_talk(node& x, node_id id) {
    auto there = a.frames.size(), here = x.frames.size();
    x.self->send(0, {}, bytes(10, 1));
    EXPECT_TRUE(a.await_frames(there + 1));
    a.self->send(id, {}, bytes(10, 1));
    EXPECT_TRUE(x.await_frames(here + 1));
  }

  /// Before the nodes' memory goes, so do the threads that write to it.
  void TearDown() override {
    for (auto x : {&c, &b, &a})
      x->self.reset();
  }

  surroundings around;
  loopback_network loopback;
  node a, b, c;
};

INSTANTIATE_TEST_SUITE_P(Kinds, TransportContract,
                         testing::Values(kind::loopback, kind::ucx),
                         [](auto& x) {
                           return x.param == kind::ucx ? "Ucx" : "Loopback";
                         });

} // namespace

TEST_P(TransportContract, IntroducesPeersByNameBeforeTheirFrames) {
  EXPECT_EQ(a.joined.at(0), (std::pair{node_id{1}, std::string{"node-1"}}));
  EXPECT_EQ(b.joined.at(0), (std::pair{node_id{0}, std::string{"node-0"}}));
}

TEST_P(TransportContract, KeepsTheFieldsThatBelongToTheSender) {
  frame_header x;
  x.kind = frame_class::combine;
  x.layer = 7;
  x.step = 8;
  x.id = 9;
  x.first = 10;
  x.epoch = 4;
  a.self->set_view(3);
  a.self->send(1, x, bytes(5, 6));
  ASSERT_TRUE(b.await_frames(1));
  auto& [from, y] = b.frames[0];
  EXPECT_EQ(from, 0);
  EXPECT_EQ(std::tie(y.header.kind, y.header.layer, y.header.step, y.header.id,
                     y.header.first),
            std::tie(x.kind, x.layer, x.step, x.id, x.first));
  EXPECT_EQ(y.header.view, 3u);
  EXPECT_EQ(y.header.epoch, 4u);
  EXPECT_EQ(y.header.length, 5u);
  EXPECT_EQ(y.payload.bytes()[4], std::byte{6});
}

TEST_P(TransportContract, KeepsTheOrderOfEachOfManyThreads) {
  constexpr uint64_t num_threads = 3, num_frames = 300;
  {
    std::vector<std::jthread> threads;
    for (uint64_t t = 0; t < num_threads; ++t)
      threads.emplace_back([&, t] {
        for (uint64_t i = 0; i < num_frames; ++i) {
          frame_header x;
          x.id = t << 32 | i;
          a.self->send(1, x, bytes(i % 3 * 20000, int(t)));
        }
      });
  }
  ASSERT_TRUE(b.await_frames(num_threads * num_frames));
  uint64_t next[num_threads] = {};
  for (auto& [from, x] : b.frames) {
    auto t = x.header.id >> 32;
    EXPECT_EQ(x.header.id & 0xffffffff, next[t]++);
    for (auto byte : x.payload.bytes())
      ASSERT_EQ(byte, std::byte(t));
  }
}

TEST_P(TransportContract, MissesNothingWhereAllLanesAreBusyBothWays) {
  if (GetParam() == kind::ucx) { // Heartbeats look for what is missing.
    static_cast<ucx_transport&>(*a.self).monitor(1);
    static_cast<ucx_transport&>(*b.self).monitor(0);
  }
  constexpr size_t num_frames = 500;
  // Around what the network sends in one piece, and what it asks for first.
  constexpr size_t sizes[] = {0,      64,     8000,   65472,  262144,
                              524160, 524224, 524288, 1048576};
  auto flood = [&](transport& net, node_id to, uint32_t seed) {
    std::mt19937 chance{seed};
    for (uint64_t i = 0; i < num_frames; ++i) {
      frame_header x;
      using enum frame_class;
      constexpr frame_class kinds[] = {control, dispatch, combine, bulk};
      x.kind = kinds[chance() % 4];
      auto size = sizes[chance() % std::size(sizes)];
      net.send(to, x, bytes(x.kind == bulk ? size % 8001 : size, 1));
    }
  };
  {
    std::vector<std::jthread> threads;
    for (uint32_t i = 0; i < 4; ++i)
      threads.emplace_back(
        [&, i] { flood(i % 2 ? *a.self : *b.self, i % 2, i); });
  }
  EXPECT_TRUE(a.await_frames(2 * num_frames));
  EXPECT_TRUE(b.await_frames(2 * num_frames));
  EXPECT_TRUE(a.lost.empty() && b.lost.empty());
}

TEST_P(TransportContract, DeliversToTheOwnNodeBeforeSendReturns) {
  auto payload = bytes(64, 1);
  a.self->send(0, {}, payload);
  ASSERT_EQ(a.frames.size(), 1u);
  EXPECT_EQ(a.frames[0].first, 0);
  EXPECT_EQ(a.frames[0].second.payload.bytes().data(), payload.bytes().data());
}

TEST_P(TransportContract, LetsGoOfBodiesThatAreOutOrDropped) {
  std::weak_ptr<const void> sent, dropped;
  {
    auto x = bytes(500000, 1), y = bytes(10, 1);
    sent = x.owner();
    dropped = y.owner();
    a.self->send(1, {}, std::move(x));
    a.self->send(9, {}, std::move(y));
  }
  EXPECT_TRUE(dropped.expired());
  ASSERT_TRUE(b.await_frames(1));
  b.frames.clear();
  a.self->send(1, {}, {}); // Once this is there the first is long out.
  ASSERT_TRUE(b.await_frames(1));
  b.self->send(0, {}, {});
  ASSERT_TRUE(a.await_frames(1));
  TearDown();
  EXPECT_TRUE(sent.expired());
}

TEST_P(TransportContract, TellsBothSidesOfADisconnectAndWhyItIs) {
  a.self->disconnect(1, 2, "the show is over");
  EXPECT_TRUE(b.await_loss(0, 1));
  EXPECT_TRUE(a.await_loss(1, 2));
  b.self->send(0, {}, bytes(10, 1));
  a.self->send(1, {}, bytes(10, 1));
  TearDown();
  EXPECT_TRUE(a.frames.empty() && b.frames.empty());
  EXPECT_EQ(b.reasons, std::vector<std::string>{
                         "node node-0 gave us up: the show is over"});
  EXPECT_EQ(a.reasons, std::vector<std::string>{
                         "node node-1 was given up: the show is over"});
}

TEST_P(TransportContract, ADisconnectOfAnotherIncarnationChangesNothing) {
  for (uint64_t other : {0, 1, 3})
    a.self->disconnect(1, other, "that one is gone");
  a.self->disconnect(0, 2, "there is nobody of that number here");
  expect_talk(b, 1);
  EXPECT_TRUE(a.lost.empty() && b.lost.empty());
}

TEST_P(TransportContract, ALateDisconnectDoesNotTouchTheSuccessor) {
  b.self.reset();
  ASSERT_TRUE(a.await_loss(1, 2));
  start(c, 1, 3);
  ASSERT_TRUE(a.events.await([&] { return a.known[1] == 3; }));
  ASSERT_TRUE(c.events.await([&] { return !c.joined.empty(); }));
  a.self->disconnect(1, 2, "it was silent");
  expect_talk(c, 1);
  EXPECT_EQ(a.lost.size(), 1u);
}

TEST_P(TransportContract, SendsToTheProcessThatIsMeantAndToNoSuccessor) {
  b.self.reset();
  ASSERT_TRUE(a.await_loss(1, 2));
  start(c, 1, 3);
  ASSERT_TRUE(a.events.await([&] { return a.known[1] == 3; }));
  for (uint64_t meant : {2, 3, 0}) {
    frame_header x;
    x.destination = meant;
    x.id = meant;
    a.self->send(1, x, bytes(1, 1));
  }
  ASSERT_TRUE(c.await_frames(2));
  EXPECT_EQ(c.frames.at(0).second.header.id, 3u);
  EXPECT_EQ(c.frames.at(1).second.header.id, 0u);
  EXPECT_EQ(c.frames.at(1).second.header.destination, 3u);
}

TEST_P(TransportContract, ASecondProcessUnderALivingNameIsToldSoAndNoMore) {
  start(c, 1, 3);
  EXPECT_TRUE(c.await_failure(
    "node node-1 is here already, as another process; it stays"));
  expect_talk(b, 1);
  EXPECT_TRUE(a.lost.empty() && b.lost.empty() && c.joined.empty());
  b.self.reset();
  ASSERT_TRUE(a.await_loss(1, 2));
  dial_first(c, 1);
  EXPECT_TRUE(c.events.await([&] { return !c.joined.empty(); }));
}

TEST_P(TransportContract, WhoWasGivenUpIsNotTakenAgainButASuccessorIs) {
  a.self->disconnect(1, 2, "it was silent");
  ASSERT_TRUE(a.await_loss(1, 2));
  ASSERT_TRUE(b.await_loss(0, 1));
  dial_first(b, 1);
  EXPECT_TRUE(b.await_failure("was given up; only a new one can join"));
  b.self.reset();
  start(c, 1, 3);
  ASSERT_TRUE(c.events.await([&] { return !c.joined.empty(); }));
  ASSERT_TRUE(a.events.await([&] { return a.known[1] == 3; }));
  expect_talk(c, 1);
}

TEST_P(TransportContract, TellsOfATransportThatEnded) {
  b.self.reset();
  EXPECT_TRUE(a.events.await([&] { return !a.lost.empty(); }));
}

TEST_P(TransportContract, DropsNothingForItsView) {
  b.self->set_view(2);
  frame_header x;
  for (auto kind :
       {frame_class::dispatch, frame_class::combine, frame_class::control}) {
    x.kind = kind;
    a.self->send(1, x, {});
  }
  ASSERT_TRUE(b.await_frames(3));
  EXPECT_EQ(b.refused(refusal::stale), 0u);
}

TEST_P(TransportContract, CarriesBulkInOrderAndOnlyWhereNothingElseWaits) {
  // Whoever sends over a network does so on the thread that brings frames:
  // while that is held, all of it waits.
  std::promise<void> is_held;
  std::promise<void> may_go;
  if (GetParam() != kind::loopback) {
    a.after_frame = [&] {
      is_held.set_value();
      may_go.get_future().wait();
    };
    b.self->send(0, {}, {});
    is_held.get_future().wait();
  }
  constexpr uint64_t num_chunks = 40;
  frame_header chunk;
  chunk.kind = frame_class::bulk;
  for (uint64_t i = 0; i < num_chunks; ++i) {
    chunk.first = i;
    a.self->send(1, chunk, bytes(max_bulk_bytes, int(i)));
  }
  frame_header word;
  word.kind = frame_class::control;
  a.self->send(1, word, {});
  may_go.set_value();
  ASSERT_TRUE(b.await_frames(num_chunks + 1));
  uint64_t next = 0;
  for (auto& [from, x] : b.frames) {
    if (x.header.kind == frame_class::control) {
      EXPECT_EQ(next, GetParam() == kind::loopback ? num_chunks : 0);
      continue;
    }
    EXPECT_EQ(x.header.first, next);
    ASSERT_EQ(x.payload.bytes().size(), max_bulk_bytes);
    EXPECT_EQ(x.payload.bytes().back(), std::byte(next));
    ++next;
  }
}

} // namespace troupe
