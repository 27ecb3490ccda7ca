// What every transport promises, and what the door of the UCX one keeps out.
// All nodes live in this process; those of UCX still meet over 127.0.0.1.

#include "runtime/transport/loopback.hpp"
#include "runtime/transport/ucx_link.hpp"
#include "runtime/transport/ucx_transport.hpp"
#include "runtime/transport/ucx_worker.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>

namespace troupe {

namespace {

using namespace std::chrono_literals;

/// Waits for something to become true; a minute means never.
class monitor {
public:
  template <class F>
  auto change(F f) {
    std::lock_guard guard{mutex_};
    changed_.notify_all();
    return f();
  }

  template <class F>
  bool await(F is_true) {
    std::unique_lock guard{mutex_};
    return changed_.wait_for(guard, 60s, is_true);
  }

private:
  std::mutex mutex_;
  std::condition_variable changed_;
};

body bytes(size_t n, int fill) {
  auto data = std::make_shared<std::vector<std::byte>>(n, std::byte(fill));
  return {data, *data};
}

/// A node of either kind and what has happened to it.
struct node {
  transport_handler handler() {
    return {.on_frame =
              [this](node_id from, frame&& x) {
                events.change([&] { frames.emplace_back(from, std::move(x)); });
              },
            .on_peer_lost =
              [this](node_id peer, const std::string&) {
                events.change([&] { lost.push_back(peer); });
              },
            .on_peer_joined =
              [this](node_id peer, const node_identity& who) {
                events.change([&] { joined.emplace_back(peer, who.name); });
              },
            .on_connect_failed =
              [this](node_id, const failure& why) {
                events.change([&] { failures.push_back(why.message); });
              }};
  }

  bool await_frames(size_t n) {
    return events.await([&] { return frames.size() >= n; });
  }

  uint64_t refused(refusal why) const {
    return self->stats().frames_refused[size_t(why)];
  }

  monitor events;
  std::vector<std::pair<node_id, frame>> frames;
  std::vector<node_id> lost;
  std::vector<std::pair<node_id, std::string>> joined;
  std::vector<std::string> failures;
  std::unique_ptr<transport> self;
};

struct surroundings {
  system_clock time;
  system_entropy chance;
  logger log{"test", log_level::error};

  std::unique_ptr<ucx_transport> listen(node& x, node_id id,
                                        ucx_options options = {}) {
    options.self.name = "node-" + std::to_string(id);
    options.self_id = id;
    auto admit = [](const node_identity& who) {
      return std::optional{node_id(std::stoi(who.name.substr(5)))};
    };
    auto net = ucx_transport::listen(options, {time, chance, log}, admit,
                                     x.handler());
    EXPECT_TRUE(net) << net.why().message;
    return std::move(*net);
  }
};

enum class kind { loopback, ucx };

struct TransportContract : testing::TestWithParam<kind> {
  TransportContract() {
    if (GetParam() == kind::loopback) {
      a.self = loopback.join(0, {"node-0", 1, 0, {}}, a.handler());
      b.self = loopback.join(1, {"node-1", 2, 0, {}}, b.handler());
    } else {
      a.self = around.listen(a, 0);
      auto net = around.listen(b, 1);
      auto& to = static_cast<ucx_transport&>(*a.self).self().listen;
      net->connect(0, to, 10s);
      b.self = std::move(net);
    }
    for (auto x : {&a, &b})
      EXPECT_TRUE(x->events.await([x] { return !x->joined.empty(); }));
  }

  /// Before the nodes' memory goes, so do the threads that write to it.
  void TearDown() override {
    a.self.reset();
    b.self.reset();
  }

  surroundings around;
  loopback_network loopback;
  node a, b;
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
  a.self->set_view(3, 4);
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

TEST_P(TransportContract, TellsTheOtherSideOfADisconnect) {
  a.self->disconnect(1);
  EXPECT_TRUE(b.events.await([&] { return !b.lost.empty(); }));
  b.self->send(0, {}, bytes(10, 1));
  a.self->send(1, {}, bytes(10, 1));
  TearDown();
  EXPECT_TRUE(a.lost.empty() && a.frames.empty() && b.frames.empty());
  EXPECT_EQ(b.lost, std::vector<node_id>{0});
}

TEST_P(TransportContract, TellsOfATransportThatEnded) {
  b.self.reset();
  EXPECT_TRUE(a.events.await([&] { return !a.lost.empty(); }));
}

TEST_P(TransportContract, RefusesOldRowsButNotOldControl) {
  b.self->set_view(2, 2);
  frame_header rows;
  rows.kind = frame_class::dispatch;
  a.self->send(1, rows, {});
  a.self->send(1, {}, {});
  ASSERT_TRUE(b.await_frames(1));
  EXPECT_EQ(b.frames[0].second.header.kind, frame_class::control);
  EXPECT_EQ(b.refused(refusal::stale), 1u);
}

// -- listening ----------------------------------------------------------------

namespace {

struct UcxDoor : testing::Test {
  result<std::unique_ptr<ucx_transport>> listen(ucx_options options) {
    if (options.self.name.empty())
      options.self.name = "node-0";
    return ucx_transport::listen(
      options, {around.time, around.chance, around.log}, {}, a.handler());
  }

  surroundings around;
  node a;
};

} // namespace

TEST_F(UcxDoor, RefusesOptionsThatMakeNoSense) {
  ucx_options bad_host, any_host, no_name, odd_limits, odd_times, no_window;
  bad_host.listen.host = "localhost";
  any_host.listen.host = "0.0.0.0";
  any_host.secret = "x";
  no_name.self.name = std::string(65, 'x');
  odd_limits.max_unsent = 1;
  no_window.window = 0;
  odd_times.silence_verdict = odd_times.heartbeat_period;
  for (auto& x :
       {bad_host, any_host, no_name, odd_limits, odd_times, no_window}) {
    auto net = listen(x);
    ASSERT_FALSE(net);
    EXPECT_EQ(net.why().code, errc::invalid_input);
  }
}

TEST_F(UcxDoor, NeedsASecretBeyondLoopback) {
  ucx_options x;
  x.listen.host = "192.0.2.1"; // Nobody's.
  auto net = listen(x);
  ASSERT_FALSE(net);
  EXPECT_NE(net.why().message.find("needs a cluster secret"),
            std::string::npos);
  x.insecure = true;
  net = listen(x);
  ASSERT_FALSE(net);
  EXPECT_NE(net.why().message.find("no interface"), std::string::npos);
}

TEST_F(UcxDoor, TellsThatAPortIsTaken) {
  auto first = listen({});
  ASSERT_TRUE(first);
  ucx_options x;
  x.listen.port = (*first)->self().listen.port;
  auto second = listen(x);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.why().code, errc::io);
}

// -- strangers ----------------------------------------------------------------

namespace {

/// Somebody who speaks UCX but is no node.
class stranger : ucx_link::owner {
public:
  explicit stranger(const endpoint_address& to) {
    auto x = ucx_worker::open({"127.0.0.1", 0},
                              {.on_connection = [](ucp_conn_request_h) {},
                               .on_message =
                                 [this](std::span<const std::byte>, void*,
                                        size_t, const ucp_am_recv_param_t&) {
                                   ++num_answers;
                                   return UCS_OK;
                                 }});
    EXPECT_TRUE(x);
    worker_ = std::move(*x);
    address_ = *to_socket_address(to);
    connect();
  }

  ~stranger() {
    for (auto& link : links_)
      link->close();
    for (auto& link : links_)
      while (!link->is_closed())
        worker_->progress();
  }

  void connect() {
    ucx_link::owner& self = *this;
    links_.push_back(std::make_shared<ucx_link>(self));
    EXPECT_EQ(links_.back()->connect(worker_->handle(), address_), UCS_OK);
  }

  void send(frame_header header, size_t length) {
    auto payload = bytes(length, 0);
    header.length = uint32_t(length);
    links_.back()->send(encode_header(header, payload.bytes(), true), payload,
                        nullptr);
  }

  /// Until `n` connections have been closed from the other side.
  bool await_closed(size_t n) {
    system_clock time;
    auto end = time.now() + 60s;
    while (num_failures < n && time.now() < end)
      worker_->progress();
    return num_failures >= n;
  }

  size_t num_failures = 0;
  size_t num_answers = 0;

private:
  void on_message(ucx_link&, const header_bytes&, body) override {
  }

  void on_failure(ucx_link& which, ucs_status_t) override {
    if (std::ranges::find(failed_, &which) == failed_.end()) {
      failed_.push_back(&which);
      ++num_failures;
    }
  }

  std::unique_ptr<ucx_worker> worker_;
  socket_address address_;
  std::vector<std::shared_ptr<ucx_link>> links_;
  std::vector<ucx_link*> failed_;
};

} // namespace

TEST_F(UcxDoor, ClosesOnWhoeverSendsAnythingButAHello) {
  auto net = around.listen(a, 0);
  for (auto kind :
       {frame_class::control, frame_class::dispatch, frame_class::heartbeat}) {
    stranger x{net->self().listen};
    frame_header header;
    header.kind = kind;
    header.source = net->self().incarnation; // A lie does not help.
    header.destination = net->self().incarnation;
    header.cluster = cluster_hash("troupe");
    x.send(header, 64);
    EXPECT_TRUE(x.await_closed(1));
  }
  EXPECT_EQ(net->stats().frames_refused[size_t(refusal::unknown_peer)], 3u);
  net.reset();
  EXPECT_TRUE(a.frames.empty());
}

TEST_F(UcxDoor, ClosesOnHellosThatAreTooLong) {
  auto net = around.listen(a, 0);
  for (size_t length : {4097, 1 << 20}) { // Eager and rendezvous.
    stranger x{net->self().listen};
    frame_header header;
    header.kind = frame_class::hello;
    x.send(header, length);
    EXPECT_TRUE(x.await_closed(1));
  }
  EXPECT_EQ(net->stats().frames_refused[size_t(refusal::damaged)], 2u);
}

TEST_F(UcxDoor, ClosesOnWhoeverSaysNothingAndOnTooMany) {
  ucx_options options;
  options.max_pending_handshakes = 4;
  options.handshake_deadline = 500ms;
  auto net = around.listen(a, 0, options);
  stranger x{net->self().listen};
  for (int i = 0; i < 6; ++i)
    x.connect();
  EXPECT_TRUE(x.await_closed(7)); // Three at once, four by the deadline.
  node b;
  auto other = around.listen(b, 1);
  other->connect(0, net->self().listen, 10s);
  EXPECT_TRUE(b.events.await([&] { return !b.joined.empty(); }));
}

} // namespace troupe
