#include "runtime/transport/faulty_transport.hpp"

#include "runtime/transport/loopback.hpp"
#include "tests/unit/runtime/hand_clock.hpp"

#include <gtest/gtest.h>

#include <memory>

namespace {

using namespace troupe;
using namespace std::chrono_literals;

using numbers = std::vector<uint64_t>;

frame_header header_of(frame_class kind, uint64_t id) {
  frame_header out;
  out.kind = kind;
  out.id = id;
  return out;
}

body bytes(size_t n) {
  auto data = std::make_shared<std::vector<std::byte>>(n);
  return {data, *data};
}

/// Node 0 sends to node 1, over links that can be made worse.
class FaultyTransport : public testing::Test {
protected:
  void SetUp() override {
    receive();
    sender_ = std::make_unique<faulty_transport>(
      net_.join(0, {"sender", 1000, 0, {}}, faults_->listen(ears())), faults_);
  }

  transport_handler ears() {
    transport_handler out;
    out.on_peer_lost = [this](node_id, uint64_t, const std::string& why) {
      lost_.push_back(why);
    };
    return out;
  }

  /// A new life of node 1.
  void receive(uint64_t incarnation = 2000) {
    transport_handler out;
    out.on_frame = [this](node_id, frame&& x) {
      got_.push_back(x.header.id);
      if (on_frame_)
        on_frame_(x.header.id);
    };
    receiver_ = net_.join(1, {"receiver", incarnation, 0, {}}, std::move(out));
  }

  void send(uint64_t id, frame_class kind = frame_class::control,
            size_t size = 0) {
    sender_->send(1, header_of(kind, id), bytes(size));
  }

  link_faults::rule_id begin(link_rule::kind what,
                             frame_filter which = frame_filter::all) {
    link_rule x;
    x.what = what;
    x.peer = 1;
    x.which = which;
    x.extra = 5ms;
    x.bytes_per_second = 1000;
    return faults_->begin(x);
  }

  /// What has come since this was asked last.
  numbers taken_after(std::chrono::nanoseconds time) {
    time_.time += time;
    faults_->release();
    return std::exchange(got_, {});
  }

  hand_clock time_;
  std::vector<std::string> seen_;
  std::shared_ptr<link_faults> faults_ = std::make_shared<link_faults>(
    time_, [this](node_id peer, bool has_joined) {
      seen_.push_back((has_joined ? "+" : "-") + std::to_string(peer));
    });
  std::vector<std::string> lost_;
  numbers got_;
  std::function<void(uint64_t)> on_frame_;
  loopback_network net_;
  std::unique_ptr<transport> receiver_;
  std::unique_ptr<transport> sender_;
};

} // namespace

TEST_F(FaultyTransport, PassesEverythingWhileNothingIsWrong) {
  send(1);
  send(2, frame_class::dispatch, 100);
  EXPECT_EQ(got_, (numbers{1, 2}));
  EXPECT_EQ(faults_->next_release(), troupe::clock::instant::max());
}

TEST_F(FaultyTransport, KeepsWhatACutHoldsAndSendsItInOrderOnceHealed) {
  auto cut = begin(link_rule::kind::stop);
  for (uint64_t i = 1; i <= 3; ++i)
    send(i);
  EXPECT_EQ(taken_after(1h), numbers{});
  EXPECT_EQ(faults_->num_hit(cut), 3u);
  faults_->heal(cut);
  send(4); // behind those that wait
  EXPECT_EQ(got_, numbers{});
  EXPECT_EQ(taken_after(0ms), (numbers{1, 2, 3, 4}));
  send(5);
  EXPECT_EQ(got_, numbers{5});
  EXPECT_EQ(faults_->num_hit(cut), 3u);
}

TEST_F(FaultyTransport, CutsOneClassOfFramesAlone) {
  auto cut = begin(link_rule::kind::stop, frame_filter::rows);
  send(1, frame_class::dispatch);
  send(2, frame_class::combine);
  send(3, frame_class::control);
  send(4, frame_class::bulk);
  EXPECT_EQ(taken_after(1s), (numbers{3, 4}));
  faults_->heal(cut);
  EXPECT_EQ(taken_after(0ms), (numbers{1, 2}));
}

TEST_F(FaultyTransport, AFrameThatComesWhileOthersGoOutStaysBehindThem) {
  auto cut = begin(link_rule::kind::stop);
  send(1);
  send(2);
  faults_->heal(cut);
  on_frame_ = [this](uint64_t id) {
    if (id == 1)
      send(3);
  };
  EXPECT_EQ(taken_after(0ms), (numbers{1, 2, 3}));
}

TEST_F(FaultyTransport, DelaysEveryFrameByTheSameTime) {
  auto delay = begin(link_rule::kind::delay);
  send(1);
  EXPECT_EQ(faults_->next_release(), time_.time + 5ms);
  EXPECT_EQ(taken_after(2ms), numbers{});
  send(2);
  EXPECT_EQ(taken_after(3ms), numbers{1});
  EXPECT_EQ(taken_after(1ms), numbers{});
  EXPECT_EQ(taken_after(1ms), numbers{2});
  EXPECT_EQ(faults_->num_hit(delay), 2u);
}

TEST_F(FaultyTransport, SendsNoMoreThanARateLets) {
  auto rate = begin(link_rule::kind::rate);
  for (uint64_t i = 1; i <= 3; ++i)
    send(i, frame_class::dispatch, 100 - frame_header::size);
  EXPECT_EQ(got_, numbers{1}); // the link was idle
  EXPECT_EQ(taken_after(99ms), numbers{1});
  EXPECT_EQ(taken_after(1ms), numbers{2});
  EXPECT_EQ(taken_after(100ms), numbers{3});
  EXPECT_EQ(faults_->num_hit(rate), 2u);
}

TEST_F(FaultyTransport, WithholdsHeartbeatsWhereAllOrTheirLaneIsStopped) {
  using kind = link_rule::kind;
  using filter = frame_filter;
  for (auto [what, which, expected] :
       {std::tuple{kind::stop, filter::all, true},
        {kind::stop, filter::control, true},
        {kind::stop, filter::heartbeat, true},
        {kind::stop, filter::rows, false},
        {kind::delay, filter::all, false},
        {kind::rate, filter::all, false}}) {
    auto rule = begin(what, which);
    EXPECT_EQ(faults_->withholds_heartbeat(1), expected);
    EXPECT_FALSE(faults_->withholds_heartbeat(2));
    EXPECT_EQ(faults_->num_hit(rule), expected ? 1u : 0u);
    faults_->heal(rule);
    EXPECT_FALSE(faults_->withholds_heartbeat(1));
  }
}

TEST_F(FaultyTransport, WhatWaitsForAProcessDoesNotReachItsSuccessor) {
  auto cut = begin(link_rule::kind::stop);
  send(1);
  net_.kill(1);
  EXPECT_EQ(lost_.size(), 1u);
  receive(2001);
  faults_->heal(cut);
  EXPECT_EQ(taken_after(0ms), numbers{});
  send(2);
  EXPECT_EQ(got_, numbers{2});
  EXPECT_EQ(seen_, (std::vector<std::string>{"+1", "-1", "+1"}));
}

TEST_F(FaultyTransport, APeerForWhomTooMuchWaitsIsLost) {
  sender_->set_max_unsent(1000);
  begin(link_rule::kind::stop);
  send(1, frame_class::dispatch, 900);
  EXPECT_EQ(taken_after(1ms), numbers{});
  EXPECT_TRUE(lost_.empty());
  send(2, frame_class::dispatch, 900);
  EXPECT_EQ(taken_after(1ms), numbers{});
  EXPECT_EQ(lost_.size(), 1u);
}

TEST_F(FaultyTransport, AResetBreaksTheConnectionOnce) {
  EXPECT_TRUE(faults_->reset(1));
  EXPECT_EQ(lost_.size(), 1u);
  EXPECT_FALSE(faults_->reset(1));
  EXPECT_FALSE(faults_->reset(2));
}

TEST_F(FaultyTransport, NothingGoesOutOnceItIsGone) {
  auto cut = begin(link_rule::kind::stop);
  send(1);
  sender_.reset();
  faults_->heal(cut);
  EXPECT_EQ(taken_after(0ms), numbers{});
  EXPECT_FALSE(faults_->reset(1));
}
