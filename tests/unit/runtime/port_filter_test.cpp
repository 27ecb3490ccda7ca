#include "runtime/transport/port_filter.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include <netinet/in.h>
#include <poll.h>
#include <unistd.h>

using namespace troupe;

namespace {

class descriptor {
public:
  explicit descriptor(int fd) : fd_(fd) {
  }
  descriptor(descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {
  }
  ~descriptor() {
    if (fd_ >= 0)
      ::close(fd_);
  }
  int get() const {
    return fd_;
  }

private:
  int fd_;
};

/// A listening socket, and clients of any loopback address.
class PortFilter : public testing::TestWithParam<const char*> {
protected:
  void SetUp() override {
    auto any = *to_socket_address({GetParam(), 0});
    listener = ::socket(any.storage.ss_family, SOCK_STREAM, 0);
    if (::bind(listener, any.get(), any.size) != 0)
      FAIL() << "no address " << GetParam() << " to test on";
    ASSERT_EQ(::listen(listener, 64), 0);
    target.size = sizeof target.storage;
    ASSERT_EQ(::getsockname(listener,
                            reinterpret_cast<sockaddr*>(&target.storage),
                            &target.size),
              0);
    auto made = port_filter::close({listener});
    ASSERT_TRUE(made) << made.why().message;
    filter = std::make_unique<port_filter>(std::move(*made));
  }

  void TearDown() override {
    ::close(listener);
  }

  /// Begins to connect from `host`; whether it was let in within `ms`.
  bool enters(const char* host, int ms, std::vector<descriptor>* keep = {}) {
    auto from = *to_socket_address({host, 0});
    descriptor fd{
      ::socket(from.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0)};
    EXPECT_EQ(::bind(fd.get(), from.get(), from.size), 0);
    ::connect(fd.get(), target.get(), target.size);
    pollfd wait{fd.get(), POLLOUT, 0};
    auto entered = ::poll(&wait, 1, ms) == 1 && !(wait.revents & POLLERR);
    if (keep)
      keep->push_back(std::move(fd));
    return entered;
  }

  static constexpr int long_ms = 60'000, short_ms = 100;
  int listener = -1;
  socket_address target;
  std::unique_ptr<port_filter> filter;
};

} // namespace

TEST_P(PortFilter, LetsNobodyInAtFirst) {
  EXPECT_FALSE(enters(GetParam(), short_ms));
}

TEST_P(PortFilter, LetsInWhoIsAdmittedForAsLongAsThat) {
  auto from = *to_socket_address({GetParam(), 0});
  ASSERT_TRUE(filter->admit(from));
  ASSERT_TRUE(filter->admit(from));
  EXPECT_TRUE(enters(GetParam(), long_ms));
  filter->dismiss(from);
  EXPECT_TRUE(enters(GetParam(), long_ms));
  filter->dismiss(from);
  EXPECT_FALSE(enters(GetParam(), short_ms));
}

TEST_P(PortFilter, WhatIsConnectedStaysConnected) {
  auto from = *to_socket_address({GetParam(), 0});
  ASSERT_TRUE(filter->admit(from));
  std::vector<descriptor> client;
  ASSERT_TRUE(enters(GetParam(), long_ms, &client));
  descriptor server{::accept(listener, nullptr, nullptr)};
  filter->dismiss(from);
  char x = 'x';
  ASSERT_EQ(::send(client[0].get(), &x, 1, 0), 1);
  ASSERT_EQ(::recv(server.get(), &x, 1, MSG_WAITALL), 1);
  ASSERT_EQ(::send(server.get(), &x, 1, 0), 1);
  pollfd wait{client[0].get(), POLLIN, 0};
  EXPECT_EQ(::poll(&wait, 1, long_ms), 1);
}

namespace {

/// Loopback addresses that this machine has.
std::vector<const char*> families() {
  std::vector<const char*> out{"127.0.0.1"};
  if (interface_of(*to_socket_address({"::1", 0})))
    out.push_back("::1");
  return out;
}

} // namespace

INSTANTIATE_TEST_SUITE_P(Families, PortFilter, testing::ValuesIn(families()),
                         [](auto& info) {
                           return info.index == 0 ? "IPv4" : "IPv6";
                         });

using PortFilterOfMany = PortFilter;

TEST_P(PortFilterOfMany, TellsAddressesApart) {
  for (auto host : {"127.0.0.2", "127.0.0.4"})
    ASSERT_TRUE(filter->admit(*to_socket_address({host, 0})));
  EXPECT_TRUE(enters("127.0.0.2", long_ms));
  EXPECT_TRUE(enters("127.0.0.4", long_ms));
  for (auto host : {"127.0.0.1", "127.0.0.3", "127.0.1.2", "127.1.0.4"})
    EXPECT_FALSE(enters(host, short_ms)) << host;
}

TEST_P(PortFilterOfMany, RefusesMoreAddressesThanItHasRoomFor) {
  auto address = [](size_t i) {
    auto host = "127." + std::to_string(i % 100) + "." + std::to_string(i / 100)
                + ".1";
    return *to_socket_address({host, 0});
  };
  for (size_t i = 0; i < port_filter::max_addresses; ++i)
    ASSERT_TRUE(filter->admit(address(i)));
  EXPECT_FALSE(filter->admit(address(port_filter::max_addresses)));
  EXPECT_TRUE(enters("127.0.0.1", long_ms));
  EXPECT_FALSE(enters("127.77.77.77", short_ms));
}

TEST_P(PortFilterOfMany, FindsTheListeningSocketsOfItsProcess) {
  auto all = port_filter::listening_sockets();
  EXPECT_NE(std::ranges::find(all, listener), all.end());
  descriptor other{::socket(AF_INET, SOCK_STREAM, 0)};
  auto again = port_filter::listening_sockets();
  EXPECT_EQ(std::ranges::find(again, other.get()), again.end());
}

INSTANTIATE_TEST_SUITE_P(Loopback, PortFilterOfMany,
                         testing::Values("127.0.0.1"));
