// Frames that are missing, damaged or come twice, in both kinds of transports.
// A process that keeps to no rule sends them to node 0.

#include "runtime/transport/loopback.hpp"
#include "tests/cluster/handmade_peer.hpp"

#include <optional>
#include <thread>

namespace troupe {

using namespace transports;

namespace {

enum class kind { loopback, ucx };

/// Node 0 is `a`, of incarnation 1. Node 1, of incarnation 2, sends by hand.
struct TransportOrder : testing::TestWithParam<kind> {
  TransportOrder() {
    if (GetParam() == kind::loopback) {
      a.self = loopback.join(0, {"node-0", 1, 0, {}}, a.handler());
      b.self = loopback.join(1, {"node-1", 2, 0, {}}, b.handler());
      return;
    }
    ucx_options options;
    options.self.incarnation = 1;
    auto self = around.listen(a, 0, options);
    by_hand.emplace(around, node_identity{"node-1", 2, 0, {}});
    by_hand->join(self->self().listen);
    a.self = std::move(self);
    EXPECT_TRUE(a.events.await([this] { return !a.joined.empty(); }));
  }

  frame_header numbered(uint16_t sequence,
                        frame_class kind = frame_class::control) const {
    frame_header x;
    x.kind = kind;
    x.sequence = sequence;
    x.cluster = cluster_hash(by_hand ? "troupe" : "loopback");
    x.source = 2;
    x.destination = 1;
    x.id = sequence;
    return x;
  }

  header_bytes bytes_of(const frame_header& x) const {
    return by_hand ? by_hand->seal(x) : encode_header(x, {}, {});
  }

  void send(const header_bytes& x) {
    if (by_hand)
      by_hand->send(x);
    else
      loopback.inject(0, x, {});
  }

  void send(uint16_t sequence, frame_class kind = frame_class::control) {
    send(bytes_of(numbered(sequence, kind)));
  }

  template <class F>
  bool await(F is_true) {
    auto is_so = [&] { return a.events.change(is_true); };
    return by_hand ? by_hand->await(is_so) : is_so();
  }

  bool await_frames(size_t n) {
    return await([&] { return a.frames.size() >= n; });
  }

  bool await_refused(refusal why, uint64_t n) {
    return await([&] { return a.refused(why) >= n; });
  }

  /// On both sides, node 0 having given node 1 up.
  void expect_loss(const std::string& why) {
    EXPECT_TRUE(await([&] { return !a.lost.empty(); }));
    auto words = "gave us up: node-0 says that this node " + why;
    if (by_hand) {
      EXPECT_TRUE(
        by_hand->await([&] { return !by_hand->last_words().empty(); }));
      EXPECT_EQ(by_hand->last_words(), words);
    } else {
      EXPECT_EQ(b.reasons, std::vector<std::string>{"node node-0 " + words});
    }
    EXPECT_EQ(a.lost, (std::vector{std::pair{node_id{1}, uint64_t{2}}}));
    EXPECT_EQ(a.reasons, std::vector<std::string>{"node node-1 " + why});
  }

  /// Before the nodes' memory goes, so do the threads that write to it.
  void TearDown() override {
    for (auto x : {&b, &a})
      x->self.reset();
    by_hand.reset();
  }

  surroundings around;
  loopback_network loopback;
  node a, b;
  std::optional<handmade_peer> by_hand;
};

INSTANTIATE_TEST_SUITE_P(Kinds, TransportOrder,
                         testing::Values(kind::loopback, kind::ucx),
                         [](auto& x) {
                           return x.param == kind::ucx ? "Ucx" : "Loopback";
                         });

} // namespace

TEST_P(TransportOrder, AFrameThatComesTwiceIsTakenOnceAndHarmsNobody) {
  for (uint16_t i : {0, 1, 1, 0, 2, 1, 3})
    send(i);
  ASSERT_TRUE(await_frames(4));
  ASSERT_TRUE(await_refused(refusal::repeated, 3));
  for (size_t i = 0; i < 4; ++i)
    EXPECT_EQ(a.frames[i].second.header.id, i);
  EXPECT_EQ(a.refused(refusal::repeated), 3u);
  EXPECT_TRUE(a.lost.empty());
}

TEST_P(TransportOrder, AMissingFrameIsNoticedWithTheNextOfItsLane) {
  send(0);
  send(0, frame_class::dispatch);
  send(2);
  send(3);
  expect_loss("sent a frame that was lost");
  EXPECT_TRUE(await_refused(refusal::stale, 1)) << "what comes behind it";
  EXPECT_EQ(a.frames.size(), 2u);
  EXPECT_EQ(a.refused(refusal::ahead), 1u);
}

TEST_P(TransportOrder, ASignOfLifeTellsThatTheLastMessageIsMissing) {
  send(0);
  send(2, frame_class::heartbeat);
  expect_loss("sent a frame that was lost");
}

TEST_P(TransportOrder, TheSecondSignOfLifeTellsThatTheLastRowsAreMissing) {
  if (GetParam() == kind::loopback)
    return; // It knows no heartbeats.
  auto sign = [this](uint16_t sequence) {
    auto x = numbered(sequence, frame_class::heartbeat);
    x.id = 1; // An answer: nothing is sent back.
    x.first = 2;
    send(bytes_of(x));
  };
  send(0, frame_class::dispatch);
  sign(0);
  send(1); // What a first sign tells may be a little late.
  ASSERT_TRUE(await_frames(2));
  EXPECT_TRUE(a.lost.empty());
  sign(2);
  expect_loss("sent a frame that was lost");
}

TEST_P(TransportOrder, RowsAndBulkAreMissedAsControlIs) {
  send(0, frame_class::dispatch);
  send(1, frame_class::combine);
  send(0, frame_class::bulk);
  ASSERT_TRUE(await_frames(3));
  send(3, frame_class::dispatch);
  expect_loss("sent a frame that was lost");
  EXPECT_EQ(a.frames.size(), 3u);
}

TEST_P(TransportOrder, ADamagedFrameOfAPeerCostsIt) {
  send(0);
  auto x = bytes_of(numbered(1));
  x[50] ^= std::byte{1};
  send(x);
  expect_loss("sent a damaged frame");
  send(1);
  EXPECT_TRUE(await_refused(refusal::stale, 1));
  EXPECT_EQ(a.frames.size(), 1u);
  EXPECT_EQ(a.refused(refusal::damaged), 1u);
}

TEST_P(TransportOrder, DamageThatHidesItsSenderIsNoticedToo) {
  // In a frame's source it makes a stranger's of it; then the next one tells.
  auto x = bytes_of(numbered(0));
  x[24] ^= std::byte{4};
  send(x);
  send(1);
  expect_loss("sent a frame that was lost");
}

TEST_P(TransportOrder, BytesOfAStrangerCostNobody) {
  auto stranger = numbered(0);
  stranger.source = 77;
  auto bytes = bytes_of(stranger);
  send(bytes);
  bytes[40] ^= std::byte{1};
  send(bytes);
  header_bytes noise;
  noise.fill(std::byte{0xa5});
  send(noise);
  send(header_bytes{});
  for (uint16_t i = 0; i < 3; ++i)
    send(i);
  ASSERT_TRUE(await_frames(3));
  EXPECT_EQ(a.refused(refusal::damaged) + a.refused(refusal::unknown_peer), 4u);
  EXPECT_TRUE(a.lost.empty());
}

TEST_P(TransportOrder, NumbersGoOnAtZero) {
  constexpr uint32_t num_frames = 66000;
  for (uint32_t i = 0; i < num_frames; ++i)
    send(uint16_t(i), frame_class::combine);
  ASSERT_TRUE(await_frames(num_frames));
  EXPECT_TRUE(a.lost.empty());
}

} // namespace troupe
