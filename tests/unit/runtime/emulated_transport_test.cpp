#include "runtime/transport/emulated_transport.hpp"

#include "runtime/transport/loopback.hpp"
#include "tests/unit/runtime/hand_clock.hpp"

#include <gtest/gtest.h>

using namespace troupe;
using namespace std::chrono_literals;

namespace {

using numbers = std::vector<uint64_t>;

/// Node 0 sends to nodes 1 and 2, which write down what comes.
class EmulatedTransport : public testing::Test {
protected:
  /// With words as a flag has them.
  void open(std::vector<std::string> words, const troupe::clock& time) {
    std::vector<link_emulation> all;
    for (auto& x : words)
      all.push_back(*parse_link_emulation(x));
    auto links = std::make_shared<link_emulator>(all, "sender", time);
    transport_handler ears;
    ears.on_peer_lost = [this](node_id, uint64_t, const std::string& why) {
      lost_.push_back(why);
    };
    receive(1, 2001);
    receive(2, 2002);
    sender_ = std::make_unique<emulated_transport>(
      net_.join(0, {"sender", 1000, 0, {}}, links->listen(std::move(ears))),
      links);
  }

  void open(std::vector<std::string> words) {
    open(std::move(words), time_);
  }

  /// A new life of a node.
  void receive(node_id id, uint64_t incarnation) {
    transport_handler out;
    out.on_frame = [this, id](node_id, frame&& x) {
      std::lock_guard lock{mutex_};
      got_[id].push_back(x.header.id);
      changed_.notify_all();
    };
    nodes_[id] = net_.join(id, {"receiver", incarnation, 0, {}},
                           std::move(out));
  }

  /// Returns who knows whether its memory is held.
  std::weak_ptr<const void> send(uint64_t id,
                                 frame_class kind = frame_class::control,
                                 size_t size = 0, node_id to = 1) {
    auto data = std::make_shared<std::vector<std::byte>>(size);
    frame_header header;
    header.kind = kind;
    header.id = id;
    sender_->send(to, header, {data, *data});
    return data;
  }

  /// What node 1 has got since this was asked last.
  numbers taken_after(std::chrono::nanoseconds time) {
    time_.time += time;
    sender_->release();
    std::lock_guard lock{mutex_};
    return std::exchange(got_[1], {});
  }

  hand_clock time_;
  system_clock real_time_;
  std::vector<std::string> lost_;
  std::mutex mutex_; ///< For what follows, where a thread sends.
  std::condition_variable changed_;
  std::map<node_id, numbers> got_;
  loopback_network net_;
  std::map<node_id, std::unique_ptr<transport>> nodes_;
  std::unique_ptr<emulated_transport> sender_;
};

} // namespace

TEST_F(EmulatedTransport, HoldsEachFrameAndItsMemoryForAsLongAsTheLinkTakes) {
  open({"latency=2ms"});
  auto first = send(1, frame_class::dispatch, 100);
  EXPECT_EQ(taken_after(1ms), numbers{});
  auto second = send(2, frame_class::combine, 100);
  EXPECT_EQ(taken_after(1ms - 1ns), numbers{});
  EXPECT_FALSE(first.expired());
  EXPECT_EQ(taken_after(1ns), numbers{1});
  EXPECT_TRUE(first.expired());
  EXPECT_EQ(taken_after(1ms), numbers{2});
  EXPECT_TRUE(second.expired());
}

TEST_F(EmulatedTransport, FramesToOneselfAreNotHeld) {
  numbers got;
  auto links = std::make_shared<link_emulator>(
    std::vector{*parse_link_emulation("latency=1s")}, "self", time_);
  transport_handler ears;
  ears.on_frame = [&](node_id, frame&& x) { got.push_back(x.header.id); };
  emulated_transport self{
    net_.join(3, {"self", 3000, 0, {}}, links->listen(std::move(ears))), links};
  frame_header header;
  header.id = 7;
  self.send(3, header, {});
  EXPECT_EQ(got, numbers{7});
}

TEST_F(EmulatedTransport, HoldsOneClassAlone) {
  open({"latency=2ms,class=rows"});
  send(1, frame_class::dispatch);
  send(2, frame_class::combine);
  send(3, frame_class::control);
  send(4, frame_class::bulk);
  EXPECT_EQ(taken_after(0ms), (numbers{3, 4}));
  EXPECT_EQ(taken_after(2ms), (numbers{1, 2}));
}

TEST_F(EmulatedTransport, HoldsTheWayToOneNodeAlone) {
  open({"latency=2ms,to=1"});
  send(1);
  send(2, frame_class::control, 0, 2);
  EXPECT_EQ(got_[2], numbers{2});
  EXPECT_EQ(taken_after(2ms), numbers{1});
}

TEST_F(EmulatedTransport, TheLastOfSeveralThatFitHolds) {
  open({"latency=2ms", "latency=5ms,class=rows", "latency=0s,class=control"});
  send(1, frame_class::control);
  send(2, frame_class::dispatch);
  send(3, frame_class::bulk);
  EXPECT_EQ(taken_after(0ms), numbers{1});
  EXPECT_EQ(taken_after(2ms), numbers{3});
  EXPECT_EQ(taken_after(3ms), numbers{2});
}

TEST_F(EmulatedTransport, PeersHaveRatesOfTheirOwnAndLanesOfOneShareIt) {
  open({"rate=8mbit"}); // 1 us for each byte
  auto size = 1000 - frame_header::size;
  send(1, frame_class::dispatch, size);
  send(2, frame_class::control, size);
  send(3, frame_class::dispatch, size, 2);
  EXPECT_EQ(taken_after(1ms), numbers{1});
  EXPECT_EQ(got_[2], numbers{3});
  EXPECT_EQ(taken_after(1ms), numbers{2});
}

TEST_F(EmulatedTransport, WhatWaitsForAProcessDoesNotReachItsSuccessor) {
  open({"latency=2ms"});
  auto memory = send(1, frame_class::dispatch, 100);
  net_.kill(1);
  EXPECT_EQ(lost_.size(), 1u);
  EXPECT_TRUE(memory.expired());
  receive(1, 2003);
  EXPECT_EQ(taken_after(1s), numbers{});
  send(2);
  EXPECT_EQ(taken_after(2ms), numbers{2});
}

TEST_F(EmulatedTransport, APeerForWhomTooMuchWaitsIsLost) {
  open({"rate=8kbit"});
  sender_->set_max_unsent(1000);
  send(1, frame_class::dispatch, 900);
  EXPECT_TRUE(lost_.empty());
  auto memory = send(2, frame_class::dispatch, 900);
  ASSERT_EQ(lost_.size(), 1u);
  EXPECT_NE(lost_[0].find("did not take what was sent to it"),
            std::string::npos);
  EXPECT_TRUE(memory.expired());
  EXPECT_EQ(taken_after(1h), numbers{});
  send(3, frame_class::control, 0, 2);
  EXPECT_EQ(taken_after(1h), numbers{});
  EXPECT_EQ(got_[2], numbers{3}) << "the other one is none the worse";
}

TEST_F(EmulatedTransport, WhatIsInTheAirDoesNotWait) {
  open({"latency=1s"});
  sender_->set_max_unsent(1000);
  for (uint64_t i = 0; i < 10; ++i)
    send(i, frame_class::dispatch, 900);
  EXPECT_TRUE(lost_.empty());
  EXPECT_EQ(taken_after(1s).size(), 10u);
}

TEST_F(EmulatedTransport, ADisconnectedPeerHoldsNothing) {
  open({"latency=2ms"});
  auto memory = send(1, frame_class::dispatch, 100);
  sender_->disconnect(1, 7, "that is another one");
  EXPECT_FALSE(memory.expired());
  sender_->disconnect(1, 2001, "we go");
  EXPECT_TRUE(memory.expired());
  EXPECT_EQ(taken_after(1s), numbers{});
}

TEST_F(EmulatedTransport, WhatItHoldsGoesOutInOrderAsItEnds) {
  open({"latency=60min,rate=8kbit"});
  for (uint64_t i = 0; i < 5; ++i)
    send(i, frame_class::dispatch, 100);
  sender_.reset();
  EXPECT_EQ(got_[1], (numbers{0, 1, 2, 3, 4}));
}

/// Nothing is said of how long it takes: the machine's clock goes on.
TEST_F(EmulatedTransport, ItsThreadLetsEveryFrameGoInOrder) {
  open({"latency=1ms,jitter=100us"}, real_time_);
  sender_->start();
  numbers all;
  for (uint64_t i = 0; i < 500; ++i) {
    send(i, i % 3 ? frame_class::dispatch : frame_class::combine, 64);
    all.push_back(i);
  }
  std::unique_lock lock{mutex_};
  ASSERT_TRUE(
    changed_.wait_for(lock, 60s, [&] { return got_[1].size() == all.size(); }));
  EXPECT_EQ(got_[1], all);
}

TEST_F(EmulatedTransport, ItsThreadEndsWhileFramesAreHeldAndSendersSend) {
  open({"latency=60min", "latency=10us,to=2"}, real_time_);
  sender_->start();
  std::vector<std::thread> senders;
  for (node_id to : {1, 2})
    senders.emplace_back([this, to] {
      for (uint64_t i = 0; i < 500; ++i)
        send(i, frame_class::dispatch, 64, to);
    });
  net_.kill(2); // while its frames are on their way
  for (auto& x : senders)
    x.join();
  sender_.reset();
  EXPECT_EQ(got_[1].size(), 500u);
  EXPECT_LE(got_[2].size(), 500u);
}
