// A call is one coroutine: a connection, the request, the answer. A timer of
// its own closes the socket when it has taken too long.
//
// co_await stands in statements of its own: inside a loop's condition g++ 12
// compiles it to a trap.

#include "runtime/http/client.hpp"

#include "runtime/file_descriptor.hpp"
#include "runtime/http/answer_reader.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include <sys/un.h>

#include <array>
#include <optional>
#include <tuple>
#include <vector>

namespace troupe::http {

namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;
/// Of TCP or of a Unix socket.
using stream = asio::generic::stream_protocol;
using addresses = std::vector<stream::endpoint>;

constexpr auto when_done = asio::as_tuple(asio::use_awaitable);
constexpr size_t answer_read_size = 16 << 10; ///< Bytes at once.

/// Connections without a call that are kept.
constexpr size_t max_idle = 4096;

// -- a connection -------------------------------------------------------------

class line {
public:
  line(asio::io_context& io, asio::ssl::context* tls) : socket_(io) {
    if (tls)
      secure_.emplace(socket_, *tls);
  }

  asio::awaitable<error_code> open(const addresses& to,
                                   const std::string& host) {
    error_code why = asio::error::host_not_found;
    for (auto& x : to) {
      error_code ignored;
      socket_.close(ignored);
      socket_.open(x.protocol(), why);
      close_on_exec(socket_.native_handle());
      if (!why)
        std::tie(why) = co_await socket_.async_connect(x, when_done);
      if (!why || is_shut_)
        break;
    }
    if (why)
      co_return why;
    error_code ignored;
    socket_.set_option(tcp::no_delay{true}, ignored);
    if (!secure_)
      co_return why;
    SSL_set_tlsext_host_name(secure_->native_handle(), host.c_str());
    secure_->set_verify_callback(asio::ssl::host_name_verification{host},
                                 ignored);
    auto [ec] = co_await secure_->async_handshake(
      asio::ssl::stream_base::client, when_done);
    co_return ec;
  }

  asio::awaitable<error_code> write(const std::string& bytes) {
    if (secure_) {
      auto [ec, n] = co_await asio::async_write(*secure_, asio::buffer(bytes),
                                                when_done);
      co_return ec;
    }
    auto [ec, n] = co_await asio::async_write(socket_, asio::buffer(bytes),
                                              when_done);
    co_return ec;
  }

  /// Empty: nothing will come.
  asio::awaitable<std::string_view> read() {
    if (secure_) {
      auto [ec, n] = co_await secure_->async_read_some(asio::buffer(bytes_),
                                                       when_done);
      co_return std::string_view{bytes_.data(), ec ? 0 : n};
    }
    auto [ec, n] = co_await socket_.async_read_some(asio::buffer(bytes_),
                                                    when_done);
    co_return std::string_view{bytes_.data(), ec ? 0 : n};
  }

  /// What is under way ends.
  void shut() {
    is_shut_ = true;
    error_code ignored;
    socket_.close(ignored);
  }

private:
  stream::socket socket_;
  std::optional<asio::ssl::stream<stream::socket&>> secure_; ///< Over socket_.
  bool is_shut_ = false;
  std::array<char, answer_read_size> bytes_; ///< What has just come.
};

// -- a call -------------------------------------------------------------------

struct call_state {
  call_state(asio::io_context& io, std::string bytes,
             std::shared_ptr<call_listener> listener)
    : request(std::move(bytes)), to(std::move(listener)), limit(io) {
  }

  std::string request;
  std::shared_ptr<call_listener> to;
  asio::steady_timer limit;
  std::shared_ptr<line> way;
  answer_reader answer;
  bool is_late = false;
};

/// How it ended, and why unless it is whole.
struct call_word {
  call_end end = call_end::whole;
  std::string why = {};
};

class asio_client : public client {
public:
  asio_client(client_options options, const clock& time)
    : options_(std::move(options)), time_(time) {
  }

  result<void> prepare() {
    error_code ec;
    if (!options_.unix_path.empty())
      return prepare_unix();
    const auto& where = options_.server;
    auto port = std::to_string(where.port);
    for (const auto& x : tcp::resolver{io_}.resolve(where.host, port, ec))
      addresses_.push_back(x.endpoint());
    if (ec)
      return failure{errc::io, "the host '" + where.host
                                 + "' has no address: " + ec.message()};
    return where.tls ? prepare_tls() : result<void>{};
  }

  void call(outgoing_call what, std::shared_ptr<call_listener> to) override {
    auto x = std::make_shared<call_state>(io_, render(what), std::move(to));
    x->limit.expires_at(time_.now() + options_.patience);
    x->limit.async_wait([x](error_code ec) {
      x->is_late = !ec;
      if (x->is_late && x->way)
        x->way->shut();
    });
    asio::co_spawn(
      io_, [this, x] { return serve(x); }, asio::detached);
  }

  void at(clock::instant when, std::function<void()> fn) override {
    auto timer = std::make_shared<asio::steady_timer>(io_, when);
    timer->async_wait([timer, fn = std::move(fn)](error_code) { fn(); });
  }

  void run() override {
    auto work = asio::make_work_guard(io_);
    io_.run();
  }

  void stop() override {
    io_.stop();
  }

private:
  result<void> prepare_unix() {
    if (options_.unix_path.size() >= sizeof(sockaddr_un::sun_path))
      return failure{errc::invalid_input,
                     "'" + options_.unix_path
                       + "' is too long for the path of a socket"};
    addresses_.push_back(
      asio::local::stream_protocol::endpoint{options_.unix_path});
    return {};
  }

  result<void> prepare_tls() {
    tls_.emplace(asio::ssl::context::tls_client);
    error_code ec;
    const auto& file = options_.authorities;
    if (file.empty())
      tls_->set_default_verify_paths(ec);
    else
      tls_->load_verify_file(file, ec);
    if (ec)
      return failure{errc::invalid_input,
                     "the certificates '" + file
                       + "' cannot be used: " + ec.message()};
    tls_->set_verify_mode(options_.trust_anybody ? asio::ssl::verify_none
                                                 : asio::ssl::verify_peer);
    return {};
  }

  std::string render(const outgoing_call& x) const {
    const auto& where = options_.server;
    auto out = x.method + " " + where.path + x.path
               + " HTTP/1.1\r\nHost: " + where.authority() + "\r\n" + x.headers;
    if (!x.body.empty())
      out += "Content-Type: application/json\r\nContent-Length: "
             + std::to_string(x.body.size()) + "\r\n";
    return out + "\r\n" + x.body;
  }

  asio::awaitable<void> serve(std::shared_ptr<call_state> x) {
    call_word word = co_await exchange(*x);
    if (x->is_late)
      word = {call_end::timeout, "no end within the time that it may take"};
    x->limit.cancel();
    x->to->on_end(word.end, x->answer.status(), std::move(word.why));
  }

  /// A connection that was kept may have been closed by now: a call to which
  /// no byte was said is made once more, on a new one.
  asio::awaitable<call_word> exchange(call_state& x) {
    call_word word;
    while (!idle_.empty()) {
      x.way = std::move(idle_.back());
      idle_.pop_back();
      word = co_await ask(x);
      if (word.end != call_end::cut || x.answer.begun() || x.is_late)
        co_return word;
    }
    auto* tls = tls_ ? &*tls_ : nullptr;
    x.way = std::make_shared<line>(io_, tls);
    error_code ec = co_await x.way->open(addresses_, options_.server.host);
    if (ec)
      co_return call_word{call_end::unreachable, ec.message()};
    word = co_await ask(x);
    co_return word;
  }

  asio::awaitable<call_word> ask(call_state& x) {
    error_code ec = co_await x.way->write(x.request);
    // Who refuses may say so before all has been sent: it is read.
    std::string body;
    while (!x.answer.done()) {
      auto got = co_await x.way->read();
      if (got.empty()) {
        if (x.answer.ends_here())
          co_return call_word{};
        co_return call_word{call_end::cut,
                            ec ? ec.message() : "the connection ended"};
      }
      auto ok = x.answer.read(got, body);
      if (!ok)
        co_return call_word{call_end::malformed, ok.why().message};
      if (!body.empty() && !x.to->on_body(x.answer.status(), body)) {
        x.way->shut();
        co_return call_word{call_end::dropped, "dropped"};
      }
      body.clear();
    }
    if (x.answer.keep_alive() && idle_.size() < max_idle && !x.is_late)
      idle_.push_back(std::move(x.way));
    co_return call_word{};
  }

  const client_options options_;
  const clock& time_;
  std::optional<asio::ssl::context> tls_; ///< Outlives the lines.
  asio::io_context io_;                   ///< Likewise, and holds coroutines.
  addresses addresses_;
  std::vector<std::shared_ptr<line>> idle_;
};

} // namespace

result<std::unique_ptr<client>> client::open(client_options options,
                                             const clock& time) {
  auto out = std::make_unique<asio_client>(std::move(options), time);
  if (auto ok = out->prepare(); !ok)
    return ok.why();
  return std::unique_ptr<client>{std::move(out)};
}

} // namespace troupe::http
