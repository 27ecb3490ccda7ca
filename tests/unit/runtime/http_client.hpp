#pragma once

/// A blocking HTTP client for tests: what it sends is exactly what it is told,
/// sense or not.

#include <gtest/gtest.h>

#include <cerrno>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

namespace troupe::test {

struct http_answer {
  int status = 0; ///< 0: the connection ended before an answer.
  std::map<std::string, std::string> headers; ///< Names in lower case.
  std::string body;
};

class http_client {
public:
  explicit http_client(uint16_t port) {
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in where{};
    where.sin_family = AF_INET;
    where.sin_port = htons(port);
    where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    timeval deadline{60, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof deadline);
    auto rc = ::connect(fd_, reinterpret_cast<sockaddr*>(&where), sizeof where);
    EXPECT_EQ(rc, 0) << "cannot connect to port " << port;
  }

  /// Of a server that listens at `path`.
  explicit http_client(const std::string& path) {
    fd_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un where{AF_UNIX, {}};
    path.copy(where.sun_path, sizeof where.sun_path - 1);
    timeval deadline{60, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof deadline);
    auto rc = ::connect(fd_, reinterpret_cast<sockaddr*>(&where), sizeof where);
    EXPECT_EQ(rc, 0) << "cannot connect to " << path;
  }

  http_client(http_client&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), seen_(std::move(other.seen_)) {
  }

  http_client& operator=(http_client&& other) noexcept {
    std::swap(fd_, other.fd_);
    std::swap(seen_, other.seen_);
    return *this;
  }

  ~http_client() {
    if (fd_ >= 0)
      ::close(fd_);
  }

  void send(std::string_view text) {
    while (!text.empty()) {
      auto n = TEMP_FAILURE_RETRY(
        ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL));
      if (n <= 0)
        return; // the server may well have closed on us
      text.remove_prefix(static_cast<size_t>(n));
    }
  }

  /// True: the server has closed the connection.
  bool at_end() {
    return seen_.empty() && !fill();
  }

  /// What the kernel keeps for us is little from here on.
  void keep_little() {
    int size = 32 << 10;
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
  }

  /// Waits for more, but does not look at it yet. False: nothing comes.
  bool read_on() {
    return fill();
  }

  http_answer receive() {
    auto x = receive_head();
    if (x.headers.contains("content-length"))
      x.body = take(std::stoul(x.headers["content-length"]));
    else if (x.headers.contains("transfer-encoding"))
      while (auto piece = receive_chunk())
        x.body += *piece;
    else if (x.status >= 200 && x.status != 204)
      while (fill() || !seen_.empty())
        x.body += std::exchange(seen_, {});
    return x;
  }

  /// After `receive_head`: the next chunk, or none at the end.
  std::optional<std::string> receive_chunk() {
    auto size = std::stoul(take_line(), nullptr, 16);
    auto text = take(size);
    take(2);
    if (size == 0)
      return std::nullopt;
    return text;
  }

  /// Reads status and headers only.
  http_answer receive_head() {
    http_answer x;
    size_t end = 0;
    while ((end = seen_.find("\r\n\r\n")) == std::string::npos)
      if (!fill())
        return x;
    x.status = std::stoi(seen_.substr(9, 3));
    parse_headers(seen_.substr(0, end), x);
    seen_.erase(0, end + 4);
    return x;
  }

private:
  bool fill() {
    char bytes[65536];
    // A wait with a deadline ends early where the process is stopped and goes
    // on, as on a machine that was put to sleep.
    auto n = TEMP_FAILURE_RETRY(::recv(fd_, bytes, sizeof bytes, 0));
    EXPECT_FALSE(n < 0 && errno == EAGAIN) << "nothing has come for long";
    if (n <= 0)
      return false;
    seen_.append(bytes, static_cast<size_t>(n));
    return true;
  }

  std::string take(size_t size) {
    while (seen_.size() < size && fill())
      ;
    auto text = seen_.substr(0, size);
    seen_.erase(0, size);
    return text;
  }

  std::string take_line() {
    while (seen_.find("\r\n") == std::string::npos)
      if (!fill())
        return "0";
    return take(seen_.find("\r\n") + 2);
  }

  static void parse_headers(const std::string& head, http_answer& x) {
    for (size_t at = head.find("\r\n"); at != std::string::npos;) {
      auto end = head.find("\r\n", at + 2);
      auto line = head.substr(at + 2, end - at - 2);
      auto colon = line.find(": ");
      auto name = line.substr(0, colon);
      for (auto& c : name)
        c = static_cast<char>(std::tolower(c));
      x.headers[name] = line.substr(colon + 2);
      at = end;
    }
  }

  int fd_ = -1;
  std::string seen_;
};

} // namespace troupe::test
