#pragma once

/// The socket of one client, and a deadline for whatever it does. All on its
/// strand.

#include "runtime/http/client_socket.hpp"

#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <functional>
#include <string_view>

namespace troupe::http {

class timed_socket : public client_socket {
public:
  using clock = std::chrono::steady_clock;

  /// There is no deadline yet.
  timed_socket(stream_socket socket, tls_context tls);

  void allow(std::chrono::milliseconds time);

  void allow_until(clock::time_point end);

  /// Calls `late`, which is to close it, when the deadline is over.
  awaitable<void> watch(std::function<void()> late);

  /// As read_some. If `gently`, the deadline ends this alone, once.
  awaitable<size_t> read_in_time(boost::asio::mutable_buffer to, bool gently);

  /// Whether it has.
  bool is_late() const {
    return is_late_;
  }

  /// Returns whether all were sent. The deadline is so far from the moment when
  /// the client last took some of them.
  awaitable<bool> write(std::string_view bytes,
                        std::chrono::milliseconds stall);

  /// Says that nothing follows, and reads on until the other side says so, too,
  /// or has said too much: closing with unread bytes would make the kernel
  /// throw away what is still on its way.
  awaitable<void> linger();

  void close();

private:
  boost::asio::steady_timer watch_;
  clock::time_point deadline_ = clock::time_point::max();
  bool is_gentle_ = false;
  bool is_late_ = false;
};

} // namespace troupe::http
