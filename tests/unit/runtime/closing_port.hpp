#pragma once

/// A port where nobody says anything.

#include "runtime/meeting/door.hpp"

#include <gtest/gtest.h>

#include <cerrno>
#include <functional>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

namespace troupe {

/// Accepts `count` connections at a port of its own and closes each without a
/// word, then the port; returns where that was. `begin` is told the address
/// as soon as it listens.
inline endpoint_address
close_without_a_word(int count, std::function<void(endpoint_address)> begin) {
  auto fd = ::socket(AF_INET, SOCK_STREAM, 0);
  int yes = 1; // the next one at this port does not wait for what we closed
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof at;
  auto* where = reinterpret_cast<sockaddr*>(&at);
  EXPECT_EQ(::bind(fd, where, size), 0);
  EXPECT_EQ(::listen(fd, 4), 0);
  EXPECT_EQ(::getsockname(fd, where, &size), 0);
  endpoint_address address{"127.0.0.1", ntohs(at.sin_port)};
  begin(address);
  for (int i = 0; i < count; ++i) {
    auto come = TEMP_FAILURE_RETRY(::accept(fd, nullptr, nullptr));
    EXPECT_GE(come, 0);
    ::close(come);
  }
  ::close(fd);
  return address;
}

} // namespace troupe
