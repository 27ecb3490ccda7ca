// A connection is one coroutine that goes round
//
//     head -> rules -> body -> handler -> answer -> head ...
//
// with two helpers beside it: a watchdog, which closes the socket when the
// deadline that the round has set is over, and, while an answer is awaited, a
// reader that notices the end of the stream. All run on the socket's strand.
//
// co_await stands in statements of its own: inside a loop's condition g++ 12
// compiles it to a trap.

#include "runtime/http/connection.hpp"

#include "runtime/http/exchange.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>

namespace troupe::http {

namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
using asio::ip::tcp;
using clock = std::chrono::steady_clock;
using parser = beast::http::request_parser<beast::http::string_body>;
using boost::system::error_code;

constexpr auto token = asio::as_tuple(asio::use_awaitable);
constexpr size_t max_sent_early = 64 << 10; ///< Bytes of a next request.
constexpr size_t max_lingering = 16 << 20;  ///< Bytes read to say good-bye.

std::string render_head(const reply& what, std::string_view framing,
                        bool keep_alive) {
  auto status = beast::http::int_to_status(what.status);
  auto text = "HTTP/1.1 " + std::to_string(what.status) + " "
              + std::string{beast::http::obsolete_reason(status)} + "\r\n";
  text += "Server: troupe\r\nContent-Type: " + what.content_type + "\r\n";
  for (const auto& [name, value] : what.headers)
    text += name + ": " + value + "\r\n";
  text += framing;
  text += keep_alive ? "\r\n" : "Connection: close\r\n\r\n";
  return text;
}

std::string content_length(const reply& what) {
  return "Content-Length: " + std::to_string(what.body.size()) + "\r\n";
}

std::string chunk(std::string_view bytes) {
  char size[20];
  std::snprintf(size, sizeof size, "%zx\r\n", bytes.size());
  return size + std::string{bytes} + "\r\n";
}

class connection : public std::enable_shared_from_this<connection> {
public:
  connection(house& in, tcp::socket socket, std::string address)
    : house_(in), limits_(in.options.limits), socket_(std::move(socket)),
      address_(std::move(address)), watch_(socket_.get_executor()),
      wake_(socket_.get_executor()) {
  }

  ~connection() {
    if (key_ != 0)
      house_.leave(key_, address_);
  }

  /// Runs until the connection ends, or not at all if there is no room.
  void start() {
    key_ = house_.enter(address_,
                        {caller(&connection::shut), caller(&connection::end)});
    if (key_ == 0)
      return;
    error_code ignored;
    socket_.set_option(tcp::no_delay{true}, ignored);
    auto self = shared_from_this();
    auto where = socket_.get_executor();
    asio::co_spawn(
      where, [self] { return self->watch(); }, asio::detached);
    asio::co_spawn(
      where, [self] { return self->run(); }, asio::detached);
  }

private:
  std::function<void()> caller(void (connection::*fn)()) {
    return [fn, weak = weak_from_this(), where = socket_.get_executor()] {
      asio::post(where, [fn, weak] {
        if (auto self = weak.lock())
          ((*self).*fn)();
      });
    };
  }

  // -- deadlines --------------------------------------------------------------

  void allow(std::chrono::milliseconds time) {
    deadline_ = clock::now() + time;
    if (deadline_ < watch_.expiry())
      watch_.cancel();
  }

  asio::awaitable<void> watch() {
    while (socket_.is_open()) {
      watch_.expires_at(deadline_);
      co_await watch_.async_wait(token);
      if (clock::now() >= deadline_)
        shut();
    }
  }

  /// After the request that is under way, if one is.
  void end() {
    last_ = true;
    if (resting_)
      shut();
  }

  void shut() {
    error_code ignored;
    socket_.close(ignored);
    wake_.cancel();
    watch_.cancel();
  }

  // -- the round --------------------------------------------------------------

  asio::awaitable<void> run() {
    allow(limits_.head_deadline);
    for (;;) {
      bool more = co_await serve_one();
      if (!more)
        break;
      allow(buffer_.size() > 0 ? limits_.head_deadline : limits_.idle);
    }
    shut();
  }

  /// Returns whether another request may follow.
  asio::awaitable<bool> serve_one() {
    bool ready = co_await read_head();
    if (!ready)
      co_return false;
    parser in;
    in.body_limit(limits_.max_body);
    in.header_limit(static_cast<uint32_t>(limits_.head.max_bytes));
    error_code ec;
    buffer_.consume(in.put(buffer_.data(), ec));
    if (ec == beast::http::error::body_limit)
      co_return co_await refuse(413, too_large());
    if (ec || !in.is_header_done())
      co_return co_await refuse(400,
                                "the request is not HTTP: " + ec.message());
    ready = co_await read_body(in);
    if (!ready)
      co_return false;
    co_return co_await answer(in.release());
  }

  std::string_view peeked() const {
    auto data = buffer_.data();
    return {static_cast<const char*>(data.data()), data.size()};
  }

  /// Reads until the buffer starts with a head that keeps the rules.
  asio::awaitable<bool> read_head() {
    bool idle = !fresh_ && buffer_.size() == 0;
    resting_ = buffer_.size() == 0;
    if (last_ && resting_)
      co_return false;
    fresh_ = false;
    size_t size = 0;
    while ((size = head_size(peeked())) == 0) {
      if (buffer_.size() > limits_.head.max_bytes)
        break;
      auto n = co_await read_some();
      if (n == 0)
        co_return false;
      resting_ = false;
      if (std::exchange(idle, false))
        allow(limits_.head_deadline);
    }
    auto head = peeked().substr(0, size == 0 ? peeked().size() : size);
    if (auto ok = check_head(head, limits_.head); !ok) {
      auto status = ok.why().code == errc::overloaded ? 431 : 400;
      co_return co_await refuse(status, ok.why().message);
    }
    co_return true;
  }

  asio::awaitable<size_t> read_some() {
    auto [ec, n] = co_await socket_.async_read_some(buffer_.prepare(8192),
                                                    token);
    buffer_.commit(n);
    co_return ec ? 0 : n;
  }

  asio::awaitable<bool> read_body(parser& in) {
    allow(limits_.body_deadline);
    auto expect = in.get()[beast::http::field::expect];
    if (!in.is_done() && beast::iequals(expect, "100-continue")) {
      bool sent = co_await send("HTTP/1.1 100 Continue\r\n\r\n");
      if (!sent)
        co_return false;
    }
    if (!in.is_done()) {
      auto [ec, n] = co_await beast::http::async_read(socket_, buffer_, in,
                                                      token);
      if (ec == beast::http::error::body_limit)
        co_return co_await refuse(413, too_large());
      if (ec == beast::http::error::bad_chunk
          || ec == beast::http::error::bad_chunk_extension
          || ec == beast::http::error::bad_field)
        co_return co_await refuse(400, "the body's chunks make no sense");
      if (ec)
        co_return false;
    }
    co_return true;
  }

  std::string too_large() const {
    return "the body is larger than " + std::to_string(limits_.max_body)
           + " bytes";
  }

  // -- answers ----------------------------------------------------------------

  asio::awaitable<bool> answer(parser::value_type message) {
    bool chunked = message.version() >= 11;
    bool keep = chunked && message.keep_alive();
    bool head_only = message.method() == beast::http::verb::head;
    auto way = std::make_shared<exchange>(limits_.max_buffered, waker());
    {
      auto to = make_responder(
        way, house_.use.refusal(500, "the request was dropped"));
      house_.use.handle(translate(std::move(message)), std::move(to));
    }
    start_reading();
    bool ok = co_await transmit(*way, keep, chunked, head_only);
    if (!ok)
      shut();
    way->close(); // does nothing after a finish
    co_await stop_reading();
    co_return ok&& keep && !last_;
  }

  /// Cancelling the timer that `transmit` waits on, from any thread.
  std::function<void()> waker() {
    return [weak = weak_from_this(), where = socket_.get_executor()] {
      asio::post(where, [weak] {
        if (auto self = weak.lock())
          self->wake_.cancel();
      });
    };
  }

  static request translate(parser::value_type message) {
    request what;
    what.method = std::string{message.method_string()};
    auto target = message.target();
    what.path = std::string{target.substr(0, target.find('?'))};
    what.authorization
      = std::string{message[beast::http::field::authorization]};
    what.body = std::move(message.body());
    return what;
  }

  asio::awaitable<void> rest() {
    wake_.expires_at(clock::time_point::max());
    co_await wake_.async_wait(token);
  }

  /// Sends what comes until it ends. False: the connection is of no more use.
  asio::awaitable<bool> transmit(exchange& way, bool& keep, bool chunked,
                                 bool head_only) {
    allow(limits_.answer);
    auto last = deadline_;
    bool begun = false;
    for (;;) {
      auto next = way.take();
      if (next.overrun || !socket_.is_open() || peer_gone_)
        co_return false;
      std::string out;
      if (next.head) {
        begun = true;
        keep = keep && !last_;
        out = first_bytes(*next.head, next.whole, chunked, keep, head_only);
      }
      if (!next.bytes.empty() && !head_only)
        out += chunked ? chunk(next.bytes) : next.bytes;
      if (next.ended && !next.whole && chunked && !head_only)
        out += "0\r\n\r\n";
      if (next.ended)
        way.finish();
      if (!out.empty()) {
        bool sent = co_await send(std::move(out));
        if (!sent)
          co_return false;
      }
      if (next.ended && begun)
        co_return true;
      deadline_ = last;
      if (!next.head && next.bytes.empty())
        co_await rest();
    }
  }

  static std::string first_bytes(const reply& what, bool whole, bool chunked,
                                 bool keep, bool head_only) {
    auto framing = whole     ? content_length(what)
                   : chunked ? "Transfer-Encoding: chunked\r\n"
                             : "";
    auto out = render_head(what, framing, keep);
    if (head_only || what.body.empty())
      return out;
    return out + (whole || !chunked ? what.body : chunk(what.body));
  }

  asio::awaitable<bool> send(std::string bytes) {
    allow(limits_.stall);
    auto [ec, n] = co_await asio::async_write(socket_, asio::buffer(bytes),
                                              token);
    co_return !ec;
  }

  /// Answers for the server itself. False, as nothing can follow: where the
  /// next request would start is unknown.
  asio::awaitable<bool> refuse(unsigned status, std::string why) {
    house_.refused();
    auto what = house_.use.refusal(status, why);
    auto out = render_head(what, content_length(what), false) + what.body;
    bool sent = co_await send(std::move(out));
    if (sent)
      co_await linger();
    co_return false;
  }

  /// Reads on for a moment: closing with unread bytes would make the kernel
  /// throw away the answer that is still on its way.
  asio::awaitable<void> linger() {
    error_code ignored;
    socket_.shutdown(tcp::socket::shutdown_send, ignored);
    allow(limits_.linger);
    for (size_t sum = 0; sum < max_lingering;) {
      buffer_.clear();
      auto n = co_await read_some();
      if (n == 0)
        break;
      sum += n;
    }
  }

  // -- noticing that the client has gone --------------------------------------

  void start_reading() {
    reading_ = wanted_ = true;
    asio::co_spawn(
      socket_.get_executor(),
      [self = shared_from_this()] { return self->read_early(); },
      asio::detached);
  }

  asio::awaitable<void> read_early() {
    while (wanted_) {
      auto n = co_await read_some();
      if (wanted_ && (n == 0 || buffer_.size() > max_sent_early)) {
        peer_gone_ = true;
        break;
      }
    }
    reading_ = false;
    wake_.cancel();
  }

  asio::awaitable<void> stop_reading() {
    wanted_ = false;
    error_code ignored;
    socket_.cancel(ignored);
    while (reading_)
      co_await rest();
  }

  house& house_;
  const server_limits& limits_;
  tcp::socket socket_;
  const std::string address_;
  asio::steady_timer watch_;
  asio::steady_timer wake_; ///< Cancelled to say: look again.
  clock::time_point deadline_ = clock::time_point::max();
  beast::flat_buffer buffer_;
  uint64_t key_ = 0;
  bool fresh_ = true;    ///< The deadline runs since the accept.
  bool resting_ = false; ///< No byte of a request has come.
  bool last_ = false;    ///< No request is to follow.
  bool reading_ = false;
  bool wanted_ = false;
  bool peer_gone_ = false;
};

} // namespace

void serve(house& in, tcp::socket socket, std::string address) {
  std::make_shared<connection>(in, std::move(socket), std::move(address))
    ->start();
}

} // namespace troupe::http
