// What every transport promises, and what the door of the UCX one keeps out.
// All nodes live in this process; those of UCX still meet over 127.0.0.1.

#include "runtime/transport/loopback.hpp"
#include "runtime/transport/port_filter.hpp"
#include "runtime/transport/ucx_address.hpp"
#include "runtime/transport/ucx_link.hpp"
#include "runtime/transport/ucx_transport.hpp"
#include "runtime/transport/ucx_worker.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <set>
#include <thread>

#include <poll.h>
#include <unistd.h>

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
      return result<node_id>{node_id(std::stoi(who.name.substr(5)))};
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
      net->connect(0, {to, {}, 10s});
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

TEST_P(TransportContract, CarriesBulkInOrderAndLeavesTheRestItsWay) {
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
  ASSERT_TRUE(b.await_frames(num_chunks + 1));
  uint64_t next = 0;
  uint64_t before_word = 0;
  for (auto& [from, x] : b.frames) {
    if (x.header.kind == frame_class::control) {
      before_word = next;
      continue;
    }
    EXPECT_EQ(x.header.first, next);
    ASSERT_EQ(x.payload.bytes().size(), max_bulk_bytes);
    EXPECT_EQ(x.payload.bytes().back(), std::byte(next));
    ++next;
  }
  if (GetParam() != kind::loopback) {
    EXPECT_LT(before_word, num_chunks) << "control overtakes bulk";
  }
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

/// Whether somebody who begins to connect to `port` is let in within 100 ms.
bool lets_in(uint16_t port) {
  auto target = *to_socket_address({"127.0.0.1", port});
  auto fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  ::connect(fd, target.get(), target.size);
  pollfd wait{fd, POLLOUT, 0};
  auto entered = ::poll(&wait, 1, 100) == 1 && !(wait.revents & POLLERR);
  ::close(fd);
  return entered;
}

/// TCP ports at which this process listens.
std::set<uint16_t> listening_ports() {
  std::set<uint16_t> out;
  for (auto fd : port_filter::listening_sockets()) {
    sockaddr_storage where{};
    socklen_t size = sizeof where;
    ::getsockname(fd, reinterpret_cast<sockaddr*>(&where), &size);
    out.insert(to_endpoint_address(where).port);
  }
  return out;
}

/// Somebody who speaks UCX and has learned a data address, but is no node.
class stranger : ucx_link::owner {
public:
  explicit stranger(std::span<const std::byte> address)
    : worker_(std::move(
      *ucx_worker::open({"127.0.0.1", 0}, [](auto...) { return UCS_OK; }))) {
    ucx_link::owner& self = *this;
    link_ = std::make_shared<ucx_link>(self,
                                       std::make_shared<block_pool>(1 << 20));
    EXPECT_EQ(link_->connect(worker_->handle(), address), UCS_OK);
  }

  ~stranger() {
    link_->close();
    while (!link_->is_closed())
      worker_->progress();
  }

  void send(frame_header header, const body& payload = {}) {
    header.length = uint32_t(payload.bytes().size());
    auto bytes = encode_header(header, payload.bytes(), {});
    link_->send(bytes, payload, {});
  }

  void progress() {
    worker_->progress();
  }

  ucx_worker& worker() {
    return *worker_;
  }

private:
  void on_message(ucx_link&, const header_bytes&, body) override {
  }

  void on_failure(ucx_link&, ucs_status_t) override {
  }

  std::unique_ptr<ucx_worker> worker_;
  std::shared_ptr<ucx_link> link_;
};

} // namespace

TEST_F(UcxDoor, OnlyTheDoorLetsStrangersInAlsoWhileItServes) {
  auto before = listening_ports();
  auto net = around.listen(a, 0);
  node b;
  auto other = around.listen(b, 1);
  auto expect_closed = [&] {
    for (auto port : listening_ports()) {
      auto is_door = port == net->self().listen.port
                     || port == other->self().listen.port;
      if (!before.contains(port)) {
        EXPECT_EQ(lets_in(port), is_door) << port;
      }
    }
  };
  expect_closed();
  other->connect(0, {net->self().listen, {}, 10s});
  ASSERT_TRUE(a.events.await([&] { return !a.joined.empty(); }));
  ASSERT_TRUE(b.events.await([&] { return !b.joined.empty(); }));
  expect_closed();
}

TEST_F(UcxDoor, FramesOfAStrangerThatHasComeThroughAreNotRead) {
  // Two workers of one process, without a door in between.
  size_t num_read = 0;
  auto inside = std::move(
    *ucx_worker::open({"127.0.0.1", 0}, [&](std::span<const std::byte> header,
                                            void*, size_t, bool) {
      ++num_read;
      // What a transport asks first: without the connection's tag no frame
      // fits.
      EXPECT_FALSE(decode_header(header, {}, {.tag = 77}));
      return UCS_OK;
    }));
  ASSERT_TRUE(inside->admit({"127.0.0.1", 0}));
  stranger x{inside->data_address()};
  ASSERT_TRUE(x.worker().admit({"127.0.0.1", 0}));
  x.send({});
  system_clock time;
  for (auto end = time.now() + 60s; num_read == 0 && time.now() < end;) {
    x.progress();
    inside->progress();
  }
  EXPECT_EQ(num_read, 1u);
}

TEST_F(UcxDoor, SixtyFourRowsComeWithoutAQuestion) {
  size_t num_read = 0;
  auto inside = std::move(*ucx_worker::open(
    {"127.0.0.1", 0}, [&](auto, void*, size_t length, bool is_rendezvous) {
      ++num_read;
      EXPECT_EQ(length, 64u * 7168);
      EXPECT_FALSE(is_rendezvous);
      return UCS_OK;
    }));
  ASSERT_TRUE(inside->admit({"127.0.0.1", 0}));
  stranger x{inside->data_address()};
  ASSERT_TRUE(x.worker().admit({"127.0.0.1", 0}));
  x.send({}, bytes(64 * 7168, 7));
  system_clock time;
  for (auto end = time.now() + 60s; num_read == 0 && time.now() < end;) {
    x.progress();
    inside->progress();
  }
  EXPECT_EQ(num_read, 1u);
}

TEST_F(UcxDoor, BothKindsOfAddressesCarryFrames) {
  for (auto host : {"127.0.0.1", "::1"}) {
    if (!interface_of(*to_socket_address({host, 0})))
      continue; // a machine without IPv6
    node x, y;
    ucx_options options;
    options.listen = {host, 0};
    auto to = around.listen(x, 0, options);
    auto from = around.listen(y, 1, options);
    from->connect(0, {to->self().listen, {}, 10s});
    ASSERT_TRUE(y.events.await([&] { return !y.joined.empty(); })) << host;
    from->send(0, {}, bytes(64 * 7168, 7));
    EXPECT_TRUE(x.await_frames(1)) << host;
  }
}

TEST_F(UcxDoor, TellsHowManyStrangersItHasDropped) {
  ucx_options options;
  options.handshake_deadline = 100ms;
  auto net = around.listen(a, 0, options);
  EXPECT_TRUE(lets_in(net->self().listen.port));
  system_clock time;
  auto end = time.now() + 60s;
  while (net->stats().strangers_dropped == 0 && time.now() < end)
    std::this_thread::yield();
  EXPECT_EQ(net->stats().strangers_dropped, 1u);
}

// -- places -------------------------------------------------------------------

TEST_F(UcxDoor, ASecondProcessUnderALivingNameIsToldSoAndDisturbsNobody) {
  auto net = around.listen(a, 0);
  node first, second;
  auto one = around.listen(first, 1);
  one->connect(0, {net->self().listen, {}, 10s});
  ASSERT_TRUE(a.events.await([&] { return !a.joined.empty(); }));
  ASSERT_TRUE(first.events.await([&] { return !first.joined.empty(); }));
  auto two = around.listen(second, 1);
  two->connect(0, {net->self().listen, {}, 10s});
  ASSERT_TRUE(second.events.await([&] { return !second.failures.empty(); }));
  EXPECT_NE(second.failures[0].find("node node-1 is here already"),
            std::string::npos)
    << second.failures[0];
  one->send(0, {}, bytes(10, 1));
  EXPECT_TRUE(a.await_frames(1));
  EXPECT_TRUE(a.lost.empty());
  one.reset();
  ASSERT_TRUE(a.events.await([&] { return !a.lost.empty(); }));
  two->connect(0, {net->self().listen, {}, 10s});
  EXPECT_TRUE(second.events.await([&] { return !second.joined.empty(); }));
}

} // namespace troupe
