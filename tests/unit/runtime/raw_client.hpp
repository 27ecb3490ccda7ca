#pragma once

/// A TCP client for tests that says what it is told, sense or not.

#include <gtest/gtest.h>

#include <cerrno>
#include <cstddef>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

namespace troupe::test {

class raw_client {
public:
  explicit raw_client(uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in where{};
    where.sin_family = AF_INET;
    where.sin_port = htons(port);
    where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    timeval deadline{60, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof deadline);
    auto rc = ::connect(fd_, reinterpret_cast<sockaddr*>(&where), sizeof where);
    EXPECT_EQ(rc, 0) << "cannot connect to port " << port;
  }

  raw_client(raw_client&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {
  }

  ~raw_client() {
    if (fd_ >= 0)
      ::close(fd_);
  }

  /// As much as the other side takes before it closes.
  void send(std::string_view text) {
    while (!text.empty()) {
      auto n = TEMP_FAILURE_RETRY(
        ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL));
      if (n <= 0)
        return;
      text.remove_prefix(size_t(n));
    }
  }

  /// Its length in 4 bytes, then the message.
  void send_message(std::span<const std::byte> message) {
    auto n = uint32_t(message.size());
    send({reinterpret_cast<const char*>(&n), sizeof n});
    send({reinterpret_cast<const char*>(message.data()), message.size()});
  }

  std::vector<std::byte> read_message() {
    uint32_t n = 0;
    read(&n, sizeof n);
    std::vector<std::byte> out(n);
    read(out.data(), out.size());
    return out;
  }

  void finish_sending() {
    ::shutdown(fd_, SHUT_WR);
  }

  /// Reads until the other side has closed; false: not within a minute.
  bool await_end() {
    char sink[4096];
    ssize_t n;
    while ((n = TEMP_FAILURE_RETRY(::recv(fd_, sink, sizeof sink, 0))) > 0)
      ;
    return n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
  }

private:
  void read(void* to, size_t size) {
    auto n = TEMP_FAILURE_RETRY(::recv(fd_, to, size, MSG_WAITALL));
    EXPECT_EQ(n, ssize_t(size));
  }

  int fd_;
};

} // namespace troupe::test
