#include "runtime/http/timed_socket.hpp"

#include <array>

namespace troupe::http {

namespace asio = boost::asio;

namespace {

constexpr size_t max_lingering = 16 << 20; ///< Bytes read to say good-bye.
constexpr size_t read_size = 8 << 10;      ///< Bytes at once.

} // namespace

timed_socket::timed_socket(stream_socket socket, tls_context tls)
  : client_socket(std::move(socket), std::move(tls)), watch_(executor()) {
}

void timed_socket::allow(std::chrono::milliseconds time) {
  allow_until(clock::now() + time);
}

void timed_socket::allow_until(clock::time_point end) {
  deadline_ = end;
  if (deadline_ < watch_.expiry())
    watch_.cancel();
}

timed_socket::awaitable<void> timed_socket::watch(std::function<void()> late) {
  while (is_open()) {
    watch_.expires_at(deadline_);
    co_await watch_.async_wait(as_results);
    if (!is_open() || clock::now() < deadline_)
      continue;
    if (!is_gentle_ || is_late_)
      co_return late();
    is_late_ = true;
    deadline_ = clock::time_point::max(); // until the reader sets another
    cancel();
  }
}

timed_socket::awaitable<size_t>
timed_socket::read_in_time(asio::mutable_buffer to, bool gently) {
  is_gentle_ = gently;
  auto n = co_await read_some(to);
  is_gentle_ = false;
  // It may have come at the last moment, which is too late, too.
  co_return is_late_ ? 0 : n;
}

timed_socket::awaitable<bool>
timed_socket::write(std::string_view bytes, std::chrono::milliseconds stall) {
  while (!bytes.empty()) {
    allow(stall);
    auto n = co_await write_some(bytes);
    if (n == 0)
      co_return false;
    bytes.remove_prefix(n);
  }
  co_return true;
}

timed_socket::awaitable<void> timed_socket::linger() {
  co_await finish();
  std::array<char, read_size> nobodys;
  for (size_t sum = 0; sum < max_lingering;) {
    auto n = co_await skip_some(asio::buffer(nobodys));
    if (n == 0)
      break;
    sum += n;
  }
}

void timed_socket::close() {
  client_socket::close();
  watch_.cancel();
}

} // namespace troupe::http
