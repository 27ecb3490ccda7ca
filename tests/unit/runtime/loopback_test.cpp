#include "runtime/transport/loopback.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace troupe {

namespace {

/// A node that writes down what happens to it.
struct node {
  node(loopback_network& net, node_id id)
    : self(
      net.join(id, {"n" + std::to_string(id), 1000u + id, 0, {}}, handler())) {
  }

  transport_handler handler() {
    return {
      .on_frame =
        [this](node_id from, frame&& x) {
          events.push_back("frame " + std::to_string(from) + " "
                           + std::to_string(x.header.id));
          last = std::move(x);
        },
      .on_peer_lost =
        [this](node_id peer, uint64_t, const std::string& why) {
          events.push_back("lost " + std::to_string(peer) + ": " + why);
        },
      .on_peer_joined =
        [this](node_id peer, const node_identity& who) {
          events.push_back("joined " + std::to_string(peer) + " " + who.name);
        },
    };
  }

  std::vector<std::string> taken() {
    return std::exchange(events, {});
  }

  uint64_t refused(refusal why) const {
    return self->stats().frames_refused[size_t(why)];
  }

  std::vector<std::string> events;
  frame last;
  std::unique_ptr<transport> self;
};

using strings = std::vector<std::string>;

frame_header control(uint64_t id) {
  frame_header x;
  x.id = id;
  return x;
}

body bytes(size_t n, int fill = 1) {
  auto data = std::make_shared<std::vector<std::byte>>(n, std::byte(fill));
  return {data, *data};
}

} // namespace

TEST(Loopback, DeliversToTheOwnNodeWithoutACopy) {
  loopback_network net;
  node a{net, 0};
  auto payload = bytes(100);
  a.self->send(0, control(7), payload);
  EXPECT_EQ(a.taken(), strings{"frame 0 7"});
  EXPECT_EQ(a.last.payload.bytes().data(), payload.bytes().data());
  EXPECT_EQ(a.last.header.length, 100u);
  EXPECT_EQ(a.self->stats().bytes_sent, 0u);
}

TEST(Loopback, IntroducesNodesToEachOther) {
  loopback_network net;
  node a{net, 0}, b{net, 1};
  EXPECT_EQ(a.taken(), strings{"joined 1 n1"});
  EXPECT_EQ(b.taken(), strings{"joined 0 n0"});
}

TEST(Loopback, DeliversInOrderWithoutACopyAndCounts) {
  loopback_network net;
  node a{net, 0}, b{net, 1};
  b.taken();
  auto payload = bytes(4000);
  for (uint64_t i = 0; i < 3; ++i)
    a.self->send(1, control(i), payload);
  EXPECT_EQ(b.taken(), (strings{"frame 0 0", "frame 0 1", "frame 0 2"}));
  EXPECT_EQ(b.last.payload.bytes().data(), payload.bytes().data());
  EXPECT_EQ(a.self->stats().bytes_sent, 3u * 4064);
}

TEST(Loopback, DropsWhatGoesToNobody) {
  loopback_network net;
  node a{net, 0};
  a.self->send(5, control(1), bytes(10));
  EXPECT_EQ(a.taken(), strings{});
  EXPECT_EQ(a.self->stats().bytes_sent, 0u);
}

TEST(Loopback, TellsTheOthersOnceWhenANodeIsKilled) {
  loopback_network net;
  node a{net, 0}, b{net, 1}, c{net, 2};
  a.taken(), b.taken(), c.taken();
  net.kill(1);
  net.kill(1);
  EXPECT_EQ(a.taken(), strings{"lost 1: node 1 was killed"});
  EXPECT_EQ(c.taken(), strings{"lost 1: node 1 was killed"});
  a.self->send(1, control(1), {});
  b.self->send(0, control(2), {});
  b.self->send(1, control(3), {});
  EXPECT_EQ(a.taken(), strings{});
  EXPECT_EQ(b.taken(), strings{});
}

TEST(Loopback, LosesANodeWhoseTransportEnds) {
  loopback_network net;
  node a{net, 0};
  auto b = std::make_unique<node>(net, 1);
  a.taken();
  b.reset();
  EXPECT_EQ(a.taken(), strings{"lost 1: node n1 has ended"});
}

TEST(Loopback, DisconnectsWithAWordToTheOtherSide) {
  loopback_network net;
  node a{net, 0}, b{net, 1};
  a.taken(), b.taken();
  a.self->disconnect(1, 1001, "its show is over");
  EXPECT_EQ(a.taken(),
            strings{"lost 1: node n1 was given up: its show is over"});
  EXPECT_EQ(b.taken(), strings{"lost 0: node n0 gave us up: its show is over"});
  b.self->send(0, control(1), {});
  EXPECT_EQ(a.taken(), strings{});
}

TEST(Loopback, RefusesInjectedFramesAndCountsThem) {
  loopback_network net;
  node a{net, 0}, b{net, 1};
  a.taken();
  a.self->set_view(5);
  frame_header x = control(9);
  x.kind = frame_class::combine;
  x.cluster = cluster_hash("loopback");
  x.source = 1001;
  x.destination = 1000;
  x.view = 5;
  x.epoch = 6;
  auto inject = [&](const frame_header& header) {
    net.inject(0, encode_header(header, {}, {}), {});
  };
  inject(x);
  EXPECT_EQ(a.taken(), strings{"frame 1 9"});
  inject(x);
  EXPECT_EQ(a.refused(refusal::repeated), 1u);
  auto bad = x;
  bad.destination = 999;
  inject(bad);
  EXPECT_EQ(a.refused(refusal::stale), 1u);
  bad = x;
  bad.cluster += 1;
  inject(bad);
  EXPECT_EQ(a.refused(refusal::foreign), 1u);
  bad = x;
  bad.source = 77;
  inject(bad);
  EXPECT_EQ(a.refused(refusal::unknown_peer), 1u);
  auto raw = encode_header(bad, {}, {});
  raw[20] ^= std::byte{1};
  net.inject(0, raw, {});
  EXPECT_EQ(a.refused(refusal::damaged), 1u);
  EXPECT_EQ(a.taken(), strings{}) << "none of it costs a peer";
  net.kill(1);
  a.taken();
  inject(x);
  EXPECT_EQ(a.refused(refusal::stale), 2u);
  EXPECT_EQ(a.taken(), strings{});
}

TEST(Loopback, LetsHandlersSendAndKeepsEventsApart) {
  loopback_network net;
  std::unique_ptr<transport> a, b;
  std::vector<uint64_t> at_a;
  bool inside = false;
  a = net.join(0, {"a", 1, 0, {}}, {.on_frame = [&](node_id, frame&& x) {
                 EXPECT_FALSE(inside);
                 inside = true;
                 at_a.push_back(x.header.id);
                 if (x.header.id < 4)
                   a->send(1, control(x.header.id + 1), {});
                 inside = false;
               }});
  b = net.join(1, {"b", 2, 0, {}}, {.on_frame = [&](node_id, frame&& x) {
                 b->send(0, control(x.header.id), {});
                 b->send(0, control(x.header.id + 10), {});
               }});
  a->send(1, control(0), {});
  EXPECT_EQ(at_a, (std::vector<uint64_t>{0, 10, 1, 11, 2, 12, 3, 13, 4, 14}));
}

TEST(Loopback, WhoHearsOfAPeerFirstMaySendToItAtOnce) {
  loopback_network net;
  node a{net, 0};
  auto b = std::make_unique<node>(net, 1);
  std::unique_ptr<transport> c;
  c = net.join(1, {"c", 7, 0, {}},
               {.on_peer_joined = [&](node_id peer, const node_identity&) {
                 c->send(peer, control(1), {});
                 c->send(peer, control(2), {});
               }});
  b.reset(); // Its place is free.
  a.taken();
  net.connect(1, 0);
  EXPECT_EQ(a.taken(), (strings{"joined 1 c", "frame 1 1", "frame 1 2"}));
}

TEST(Loopback, LosesNoFirstFrameWhileAnotherThreadIsAtWork) {
  for (int round = 0; round < 150; ++round) {
    loopback_network net;
    std::vector<uint64_t> seen;
    auto a = net.join(0, {"a", 1, 0, {}}, {.on_frame = [&](node_id, frame&& x) {
                        seen.push_back(x.header.id);
                      }});
    auto b = std::make_unique<node>(net, 1);
    std::unique_ptr<transport> c;
    c = net.join(1, {"c", 7, 0, {}},
                 {.on_peer_joined = [&](node_id peer, const node_identity&) {
                   c->send(peer, control(5), {});
                 }});
    b.reset(); // Its place is free.
    node d{net, 2};
    std::atomic<bool> is_done = false, is_busy = false;
    std::jthread busy{[&] {
      for (; !is_done; is_busy = true)
        d.self->send(1, control(0), {});
    }};
    while (!is_busy)
      std::this_thread::yield();
    net.connect(1, 0);
    is_done = true;
    busy.join();
    ASSERT_EQ(seen, std::vector<uint64_t>{5}) << "round " << round;
  }
}

TEST(Loopback, LosesAPeerOnceAFrameOfItIsMissing) {
  loopback_network net;
  node a{net, 0}, b{net, 1};
  a.taken(), b.taken();
  auto x = control(9);
  x.cluster = cluster_hash("loopback");
  x.source = 1001;
  x.destination = 1000;
  x.sequence = 1;
  net.inject(0, encode_header(x, {}, {}), {});
  EXPECT_EQ(a.taken(), strings{"lost 1: node n1 sent a frame that was lost"});
  EXPECT_EQ(b.taken(), strings{"lost 0: node n0 gave us up: n0 says that this "
                               "node sent a frame that was lost"});
  b.self->send(0, control(1), {});
  EXPECT_EQ(a.taken(), strings{});
  EXPECT_EQ(a.refused(refusal::ahead), 1u);
}

TEST(Loopback, LosesAPeerThatTakesNothing) {
  loopback_network net{{.max_unsent = 1000}};
  std::unique_ptr<transport> a, b;
  strings lost;
  a = net.join(0, {"a", 1, 0, {}},
               {.on_peer_lost = [&](node_id, uint64_t, const std::string& why) {
                 lost.push_back(why);
               }});
  b = net.join(1, {"b", 2, 0, {}}, {.on_frame = [&](node_id, frame&&) {
                 for (int i = 0; i < 3; ++i)
                   a->send(1, control(1), bytes(300));
               }});
  a->send(1, control(0), {});
  EXPECT_EQ(lost, strings{"node b did not take what was sent to it"});
}

TEST(Loopback, KeepsWhatABusyPeerDoesNotTakeUpToTheSendersLimit) {
  loopback_network net{{.max_unsent = 1000}};
  size_t num_lost = 0, num_frames = 0;
  std::unique_ptr<transport> a, b;
  a = net.join(0, {"a", 1, 0, {}},
               {.on_peer_lost = [&](auto...) { ++num_lost; }});
  a->set_max_unsent(100000);
  b = net.join(1, {"b", 2, 0, {}}, {.on_frame = [&](node_id, frame&&) {
                 if (num_frames++ == 0)
                   for (int i = 0; i < 30; ++i)
                     a->send(1, control(1), bytes(300));
               }});
  a->send(1, control(0), {});
  EXPECT_EQ(num_frames, 31u);
  EXPECT_EQ(num_lost, 0u);
}

TEST(Loopback, KeepsEachSendersOrderWithManyThreads) {
  constexpr int num_senders = 4, num_frames = 2000;
  loopback_network net;
  std::vector<std::vector<uint64_t>> seen(num_senders + 1);
  auto sink = net.join(0, {"sink", 1, 0, {}},
                       {.on_frame = [&](node_id from, frame&& x) {
                         seen[from].push_back(x.header.id);
                       }});
  std::vector<std::unique_ptr<transport>> senders;
  for (node_id i = 1; i <= num_senders; ++i)
    senders.push_back(net.join(i, {"s", 10u + i, 0, {}}, {}));
  {
    std::vector<std::jthread> threads;
    for (auto& x : senders)
      threads.emplace_back([&x] {
        for (uint64_t k = 0; k < num_frames; ++k)
          x->send(0, control(k), {});
      });
  }
  for (int i = 1; i <= num_senders; ++i) {
    ASSERT_EQ(seen[i].size(), size_t{num_frames});
    for (uint64_t k = 0; k < num_frames; ++k)
      ASSERT_EQ(seen[i][k], k);
  }
}

} // namespace troupe
