// What the door of a transport over UCX keeps out. All nodes live in this
// process and meet over 127.0.0.1.

#include "runtime/transport/port_filter.hpp"
#include "runtime/transport/ucx_link.hpp"
#include "runtime/transport/ucx_worker.hpp"
#include "tests/cluster/transport_fixture.hpp"

#include <set>
#include <thread>

#include <poll.h>
#include <unistd.h>

namespace troupe {

using namespace transports;

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

} // namespace troupe
