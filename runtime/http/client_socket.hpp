#pragma once

/// The socket of one client, in clear text or under TLS. Its executor is a
/// strand, on which all is called; one read and one write may be under way.

#include "runtime/error.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace troupe::http {

/// Whoever awaits an operation of Asio gets its error as one of its results.
inline constexpr auto as_results
  = boost::asio::as_tuple(boost::asio::use_awaitable);

/// Of TCP or of a Unix socket.
using stream_socket = boost::asio::generic::stream_protocol::socket;

using tls_context = std::shared_ptr<boost::asio::ssl::context>;

/// Who we are under TLS, from PEM files: the certificate with its chain, and
/// its key. Error: invalid_input, which names the file.
result<tls_context> load_tls(const std::string& certificate,
                             const std::string& key);

class client_socket {
public:
  template <class T>
  using awaitable = boost::asio::awaitable<T>;

  /// `tls`: null for clear text.
  client_socket(stream_socket socket, tls_context tls);

  auto executor() {
    return socket_.get_executor();
  }

  bool is_open() const {
    return socket_.is_open();
  }

  /// Small pieces go out at once; the kernel keeps so many bytes of what the
  /// client does not take.
  void prepare(int send_buffer);

  /// Returns whether client and server understand each other.
  awaitable<bool> greet();

  /// Returns how many bytes have come; 0: none will, or `cancel` was called.
  awaitable<size_t> read_some(boost::asio::mutable_buffer to);

  /// Whether the client has ended the stream, though bytes of it may wait to be
  /// read.
  bool has_left();

  /// Returns how many of at least one byte were sent, once the network takes
  /// some; 0: none will be, or `cancel` was called.
  awaitable<size_t> write_some(std::string_view bytes);

  /// Says that nothing follows. Under TLS it waits for the other side to say
  /// anything.
  awaitable<void> finish();

  /// After `finish`: as read_some, of what nobody wants to read, which is not
  /// deciphered either.
  awaitable<size_t> skip_some(boost::asio::mutable_buffer to);

  /// Ends what is under way.
  void cancel();

  /// The client hears of it even if another process holds the socket, too.
  void close();

private:
  awaitable<size_t> read_more(boost::asio::mutable_buffer to);

  stream_socket socket_;
  tls_context tls_; ///< Outlives secure_.
  std::optional<boost::asio::ssl::stream<stream_socket&>>
    secure_; ///< Over socket_.
  /// The stream has ended. The reactor tells that once: who reads again would
  /// wait for more.
  bool at_end_ = false;
  bool finished_ = false;
};

} // namespace troupe::http
