#include "runtime/http/client_socket.hpp"

#include <boost/asio/ip/tcp.hpp>

#include <utility>

#include <poll.h>

namespace troupe::http {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

namespace {

failure unusable(const char* what, const std::string& file,
                 const error_code& why) {
  return {errc::invalid_input, std::string{"the TLS "} + what + " '" + file
                                 + "' cannot be used: " + why.message()};
}

} // namespace

result<tls_context> load_tls(const std::string& certificate,
                             const std::string& key) {
  using context = asio::ssl::context;
  auto out = std::make_shared<context>(context::tls_server);
  error_code ec;
  out->set_options(
    context::no_tlsv1 | context::no_tlsv1_1 | context::no_compression, ec);
  if (out->use_certificate_chain_file(certificate, ec))
    return unusable("certificate", certificate, ec);
  if (out->use_private_key_file(key, context::pem, ec))
    return unusable("key", key, ec);
  return out;
}

client_socket::client_socket(stream_socket socket, tls_context tls)
  : socket_(std::move(socket)), tls_(std::move(tls)) {
  if (tls_)
    secure_.emplace(socket_, *tls_);
}

void client_socket::prepare(int send_buffer) {
  error_code ignored;
  socket_.set_option(tcp::no_delay{true}, ignored);
  socket_.set_option(asio::socket_base::send_buffer_size{send_buffer}, ignored);
}

client_socket::awaitable<bool> client_socket::greet() {
  if (!secure_)
    co_return true;
  auto [ec] = co_await secure_->async_handshake(asio::ssl::stream_base::server,
                                                as_results);
  co_return !ec;
}

client_socket::awaitable<size_t>
client_socket::read_some(asio::mutable_buffer to) {
  if (at_end_)
    co_return 0;
  co_return co_await read_more(to);
}

client_socket::awaitable<size_t>
client_socket::read_more(asio::mutable_buffer to) {
  auto count = [this](const error_code& ec, size_t n) {
    at_end_ = ec && ec != asio::error::operation_aborted;
    return ec ? 0 : n;
  };
  if (secure_) {
    auto [ec, n] = co_await secure_->async_read_some(to, as_results);
    co_return count(ec, n);
  }
  auto [ec, n] = co_await socket_.async_read_some(to, as_results);
  co_return count(ec, n);
}

bool client_socket::has_left() {
  pollfd end{socket_.native_handle(), POLLRDHUP, 0};
  return ::poll(&end, 1, 0) > 0;
}

client_socket::awaitable<size_t>
client_socket::write_some(std::string_view bytes) {
  auto from = asio::buffer(bytes.data(), bytes.size());
  if (secure_) {
    auto [ec, n] = co_await secure_->async_write_some(from, as_results);
    co_return ec ? 0 : n;
  }
  auto [ec, n] = co_await socket_.async_write_some(from, as_results);
  co_return ec ? 0 : n;
}

client_socket::awaitable<void> client_socket::finish() {
  if (std::exchange(finished_, true))
    co_return;
  // Our good-bye is out as soon as this waits for theirs; where they go on to
  // talk, it is an error.
  if (secure_ && socket_.is_open())
    co_await secure_->async_shutdown(as_results);
  error_code ignored;
  socket_.shutdown(tcp::socket::shutdown_send, ignored);
}

client_socket::awaitable<size_t>
client_socket::skip_some(asio::mutable_buffer to) {
  auto [ec, n] = co_await socket_.async_read_some(to, as_results);
  co_return ec ? 0 : n;
}

void client_socket::cancel() {
  error_code ignored;
  socket_.cancel(ignored);
}

void client_socket::close() {
  error_code ignored;
  socket_.shutdown(tcp::socket::shutdown_both, ignored);
  socket_.close(ignored);
}

} // namespace troupe::http
