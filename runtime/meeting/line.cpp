#include "runtime/meeting/line.hpp"

#include "runtime/file_descriptor.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/experimental/as_tuple.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include <array>
#include <cstring>
#include <tuple>

namespace troupe {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

namespace {

/// Errors are values: co_await gives (error, result).
constexpr auto as_value
  = asio::experimental::as_tuple(asio::use_awaitable_t<>{});

/// Between two tries: each time twice as long.
constexpr std::chrono::milliseconds first_pause{50}, longest_pause{1'000};

/// To say on a line that is up why it ends, and to hear it.
constexpr std::chrono::seconds last_words{1};

std::array<std::byte, 4> length_of(const std::vector<std::byte>& message) {
  auto n = static_cast<uint32_t>(message.size());
  return {std::byte(n), std::byte(n >> 8), std::byte(n >> 16),
          std::byte(n >> 24)};
}

uint32_t read_length(const std::array<std::byte, 4>& x) {
  uint32_t n = 0;
  for (int i = 3; i >= 0; --i)
    n = n << 8 | uint32_t(x[size_t(i)]);
  return n;
}

} // namespace

// -- TLS ----------------------------------------------------------------------

result<void> line_tls::load(const tls_files& files) {
  if (files.empty())
    return {};
  auto bad = [](const char* what, const std::string& file,
                const error_code& ec) {
    return failure{errc::invalid_input,
                   std::string{"the cluster's TLS "} + what + " '" + file
                     + "' cannot be used: " + ec.message()};
  };
  for (auto* x : {&server_, &client_}) {
    auto& context = x->emplace(asio::ssl::context::tlsv13);
    error_code ec;
    context.set_verify_mode(asio::ssl::verify_peer
                            | asio::ssl::verify_fail_if_no_peer_cert);
    if (context.use_certificate_chain_file(files.certificate, ec))
      return bad("certificate", files.certificate, ec);
    if (context.use_private_key_file(files.key, asio::ssl::context::pem, ec))
      return bad("key", files.key, ec);
    if (context.load_verify_file(files.authorities, ec))
      return bad("authorities file", files.authorities, ec);
  }
  return {};
}

// -- from outside -------------------------------------------------------------

line::line(owner& to, line_id id, tcp::socket socket, line_tls& tls,
           handshake meeting)
  : owner_(to), tls_(tls), id_(id), side_(meeting.side()),
    socket_(std::move(socket)), meeting_(std::move(meeting)),
    deadline_(socket_.get_executor()), answered_(socket_.get_executor()),
    pause_(socket_.get_executor()), next_pause_(first_pause) {
  if (auto* context = tls.of(side_))
    secure_.emplace(socket_, *context);
}

acquaintance line::other() const {
  acquaintance out{id_, meeting_.peer(), meeting_.peer_data_address(), 0,
                   meeting_.checksum_bodies()};
  if (meeting_.is_done())
    out.frame_tag = meeting_.frame_tag();
  return out;
}

void line::serve(std::chrono::milliseconds deadline) {
  start(deadline);
}

void line::dial(tcp::endpoint end, dial_target target) {
  end_ = end;
  target_ = std::move(target);
  start(target_.deadline);
}

void line::start(std::chrono::milliseconds deadline) {
  auto self = shared_from_this();
  limit(deadline, "there was no answer in time");
  answered_.expires_at(asio::steady_timer::time_point::max());
  asio::co_spawn(
    socket_.get_executor(), [self] { return self->live(); }, asio::detached);
}

/// From now on it has so long, or is dropped for that reason.
void line::limit(std::chrono::milliseconds deadline, const char* why) {
  deadline_.expires_after(deadline);
  deadline_.async_wait(
    [self = shared_from_this(), why, n = ++limit_](error_code ec) {
      if (!ec && n == self->limit_)
        self->drop(why, errc::deadline_passed);
    });
}

void line::proceed() {
  reply(answer::yes);
}

void line::welcome() {
  reply(answer::yes);
}

void line::refuse(const std::string& why) {
  if (!std::exchange(refusal_, why).empty())
    return;
  if (!is_up_)
    reply(answer::no);
  else if (is_staying_)
    spawn_part(); // else stay() does: the welcome is being written
}

void line::spawn_part() {
  asio::co_spawn(
    socket_.get_executor(),
    [self = shared_from_this()] { return self->part(); }, asio::detached);
}

void line::reply(answer x) {
  if (answer_ == answer::none)
    answer_ = x;
  answered_.cancel();
}

void line::close() {
  end(std::nullopt);
}

void line::drop(const std::string& why, errc code) {
  end(failure{code, why});
}

void line::end(std::optional<failure> why) {
  if (std::exchange(is_over_, true))
    return;
  error_code ignored;
  socket_.shutdown(tcp::socket::shutdown_both, ignored);
  socket_.close(ignored);
  deadline_.cancel();
  answered_.cancel();
  pause_.cancel();
  owner_.on_over(*this, why);
}

// -- its life -----------------------------------------------------------------

line::awaitable<void> line::live() {
  auto self = shared_from_this();
  for (;;) {
    bool ok = co_await reach();
    if (ok)
      ok = co_await meet();
    if (is_over_)
      co_return;
    if (ok)
      break;
    co_await rest("it closed its connection");
  }
  co_await stay();
}

/// The other side has closed. On a patient line on which it has said nothing
/// that ends only this try: it may be about to end, or to begin.
void line::lose() {
  if (!is_ours() || !target_.is_patient || has_heard_)
    drop("it closed its connection", errc::peer_lost);
}

/// Lets some time pass before the next try.
line::awaitable<void> line::rest(const std::string& why) {
  if (!std::exchange(has_rested_, true))
    owner_.on_waiting(target_, why);
  error_code ignored;
  socket_.close(ignored);
  if (secure_)
    secure_.emplace(socket_, *tls_.of(side_));
  pause_.expires_after(next_pause_);
  next_pause_ = std::min(2 * next_pause_, longest_pause);
  co_await pause_.async_wait(as_value);
}

/// As often as our patience allows.
line::awaitable<void> line::connect() {
  while (!is_over_) {
    error_code ec;
    socket_.open(end_->protocol(), ec);
    close_on_exec(socket_.native_handle());
    if (!ec)
      std::tie(ec) = co_await socket_.async_connect(*end_, as_value);
    if (!ec || is_over_)
      co_return;
    if (!target_.is_patient) {
      drop(ec.message(), errc::peer_lost);
      co_return;
    }
    co_await rest(ec.message());
  }
}

/// Connects, where we dial, and puts TLS under it.
line::awaitable<bool> line::reach() {
  if (end_)
    co_await connect();
  error_code ignored;
  if (!is_over_)
    socket_.set_option(tcp::no_delay{true}, ignored);
  if (!is_over_ && secure_) {
    auto role = is_ours() ? asio::ssl::stream_base::client
                          : asio::ssl::stream_base::server;
    auto [ec] = co_await secure_->async_handshake(role, as_value);
    if (ec == asio::error::eof || ec == asio::ssl::error::stream_truncated
        || ec == asio::error::connection_reset) {
      lose();
      co_return false;
    }
    if (ec)
      drop("TLS failed: " + ec.message());
  }
  co_return !is_over_;
}

line::awaitable<bool> line::meet() {
  if (is_ours())
    co_await write(meeting_.greeting());
  while (!is_over_) {
    auto message = co_await read();
    if (!message)
      co_return false;
    auto step = meeting_.receive(*message);
    if (!co_await take(step))
      co_return false;
    if (step.done)
      break;
  }
  if (is_over_)
    co_return false;
  if (!is_ours())
    co_return co_await answer_proof();
  is_up_ = true;
  owner_.on_welcomed(*this);
  co_return !is_over_;
}

/// Does what the handshake says.
line::awaitable<bool> line::take(handshake::step step) {
  if (step.failed) {
    if (!step.refused_by_peer)
      co_await write(std::move(step.reply));
    drop(step.failed->message, step.failed->code);
    co_return false;
  }
  if (step.met) {
    auto& name = meeting_.peer().name;
    if (!target_.name.empty() && name != target_.name) {
      drop("node " + name + " is there instead of " + target_.name);
      co_return false;
    }
    owner_.on_met(*this);
    if (co_await wait_for_answer() != answer::yes)
      co_return false;
  }
  // In two statements: g++ 12 awaits the right side of || whatever the left is.
  if (step.reply.empty())
    co_return true;
  co_return co_await write(std::move(step.reply));
}

line::awaitable<bool> line::answer_proof() {
  owner_.on_proven(*this);
  if (co_await wait_for_answer() == answer::yes) {
    // Up before the other side can know: what it does then finds us so.
    is_up_ = true;
    co_return co_await write(meeting_.welcome());
  }
  if (!is_over_) {
    co_await write(handshake::refuse(refusal_));
    // Unlike close, this waits until the refusal has been read.
    std::byte nothing;
    if (!is_over_)
      co_await socket_.async_read_some(asio::buffer(&nothing, 1), as_value);
    drop(refusal_);
  }
  co_return false;
}

line::awaitable<line::answer> line::wait_for_answer() {
  while (answer_ == answer::none && !is_over_)
    co_await answered_.async_wait(as_value);
  co_return is_over_ ? answer::no : std::exchange(answer_, answer::none);
}

/// Until the other process ends, or this one, or one gives the other up.
line::awaitable<void> line::stay() {
  ++limit_; // The last one is met, also if its timer has expired by now.
  deadline_.cancel();
  is_staying_ = true;
  if (!refusal_.empty())
    spawn_part();
  auto why = co_await read_last_words();
  if (!why)
    drop("closed its connection", errc::peer_lost);
  else if (why->empty())
    drop("sent bytes where none belong", errc::peer_lost);
  else
    drop("gave us up: " + *why, errc::peer_lost);
}

/// Says why we give the other side up. It closes when it has read that.
line::awaitable<void> line::part() {
  auto self = shared_from_this();
  if (is_over_)
    co_return;
  limit(last_words, "did not hear that it is given up");
  co_await write(handshake::refuse(refusal_));
}

// -- messages -----------------------------------------------------------------

/// Returns whether so many bytes have come.
line::awaitable<bool> line::fill(asio::mutable_buffer to) {
  error_code ec;
  if (secure_)
    std::tie(ec, std::ignore) = co_await asio::async_read(*secure_, to,
                                                          as_value);
  else
    std::tie(ec, std::ignore) = co_await asio::async_read(socket_, to,
                                                          as_value);
  co_return !ec && !is_over_;
}

line::awaitable<std::optional<std::vector<std::byte>>> line::read() {
  std::array<std::byte, 4> length;
  std::vector<std::byte> message;
  auto ok = co_await fill(asio::buffer(length));
  auto size = ok ? read_length(length) : 0;
  if (ok && (size == 0 || size > handshake::max_message)) {
    drop("it sent a hello of a size that none has", errc::invalid_input);
    co_return std::nullopt;
  }
  message.resize(size);
  if (ok && co_await fill(asio::buffer(message))) {
    has_heard_ = true;
    co_return message;
  }
  lose();
  co_return std::nullopt;
}

/// What comes on a line that is up: why we are given up, or empty if that is no
/// sentence. Nothing if it has ended.
line::awaitable<std::optional<std::string>> line::read_last_words() {
  std::array<std::byte, 4> length;
  if (!co_await fill(asio::buffer(length, 1)))
    co_return std::nullopt;
  if (refusal_.empty())
    limit(last_words, "sent bytes where none belong");
  if (!co_await fill(asio::buffer(length) + 1))
    co_return "";
  constexpr auto most = uint32_t{handshake::max_message};
  auto size = read_length(length);
  std::vector<std::byte> message(std::min(size, most));
  if (size > most || !co_await fill(asio::buffer(message)))
    co_return "";
  co_return handshake::read_refusal(message).value_or("");
}

line::awaitable<bool> line::write(std::vector<std::byte> message) {
  auto length = length_of(message);
  std::array<asio::const_buffer, 2> parts{asio::buffer(length),
                                          asio::buffer(message)};
  error_code ec;
  if (secure_)
    std::tie(ec, std::ignore) = co_await asio::async_write(*secure_, parts,
                                                           as_value);
  else
    std::tie(ec, std::ignore) = co_await asio::async_write(socket_, parts,
                                                           as_value);
  if (ec)
    lose();
  co_return !ec && !is_over_;
}

} // namespace troupe
