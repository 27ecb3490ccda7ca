// A connection is one coroutine that goes round
//
//     head -> handler's word -> body -> handler -> answer -> head ...
//
// with two helpers beside it: a watchdog, which closes the socket when the
// deadline that the round has set is over, and, while an answer is awaited, a
// reader that notices the end of the stream. All run on the socket's strand.
//
// co_await stands in statements of its own: inside a loop's condition g++ 12
// compiles it to a trap.

#include "runtime/http/connection.hpp"

#include "runtime/http/exchange.hpp"
#include "runtime/http/reply_text.hpp"
#include "runtime/http/request_reader.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/steady_timer.hpp>

#include <array>

namespace troupe::http {

namespace {

namespace asio = boost::asio;
using clock = std::chrono::steady_clock;
using stage = request_reader::stage;
using boost::system::error_code;

constexpr size_t max_sent_early = 64 << 10; ///< Bytes of a next request.
constexpr size_t read_size = 8 << 10;       ///< Bytes at once.
constexpr std::chrono::milliseconds look_again{10}; ///< For room to come in.

class connection : public std::enable_shared_from_this<connection> {
public:
  connection(house& in, stream_socket socket, ip_bytes from)
    : house_(in), limits_(in.options.limits),
      socket_(std::move(socket), in.tls()), from_(from),
      wake_(socket_.executor()), look_(socket_.executor()),
      reader_(limits_.reading) {
  }

  ~connection() {
    house_.release(held_);
    vacate();
    if (key_ != 0)
      house_.leave(key_, from_);
  }

  /// Runs until the connection ends, or not at all if there is no room. From
  /// here on all happens on the strand: it may be told to end at once.
  void start() {
    key_ = house_.enter({caller(&connection::shut), caller(&connection::end)},
                        from_);
    if (key_ != 0)
      asio::post(socket_.executor(),
                 [self = shared_from_this()] { self->begin(); });
  }

private:
  std::function<void()> caller(void (connection::*fn)()) {
    return [fn, weak = weak_from_this(), where = socket_.executor()] {
      asio::post(where, [fn, weak] {
        if (auto self = weak.lock())
          ((*self).*fn)();
      });
    };
  }

  void begin() {
    if (!socket_.is_open())
      return; // it was told to end
    socket_.prepare(limits_.send_buffer);
    spawn(&connection::watch);
    spawn(&connection::run);
  }

  void spawn(asio::awaitable<void> (connection::*fn)()) {
    asio::co_spawn(
      socket_.executor(),
      [fn, self = shared_from_this()] { return ((*self).*fn)(); },
      asio::detached);
  }

  // -- its end ----------------------------------------------------------------

  asio::awaitable<void> watch() {
    return socket_.watch([this] { shut(); });
  }

  /// After the request that is under way, if one is.
  void end() {
    last_ = true;
    if (resting_)
      shut();
  }

  void shut() {
    vacate();
    socket_.close();
    wake_.cancel();
  }

  // -- the round --------------------------------------------------------------

  asio::awaitable<void> run() {
    socket_.allow(limits_.greeting);
    bool in = co_await socket_.greet();
    socket_.allow(limits_.head_deadline);
    if (in)
      in = co_await come_in();
    while (in) {
      bool more = co_await serve_one();
      tell();
      if (!more)
        break;
      socket_.allow(reader_.rests() ? limits_.idle : limits_.head_deadline);
    }
    tell();
    socket_.allow(limits_.linger);
    co_await socket_.finish();
    shut();
  }

  /// Returns whether there is room. Those who have just gone may not have been
  /// noticed yet: for a moment, who comes in their stead waits for that.
  asio::awaitable<bool> come_in() {
    auto end = clock::now() + limits_.patience;
    auto word = house_.admit(from_);
    while (!word.granted && !last_ && socket_.is_open() && clock::now() < end) {
      wake_.expires_after(look_again);
      co_await wake_.async_wait(as_results);
      word = house_.admit(from_);
    }
    in_ = word.granted;
    if (in_)
      co_return true;
    house_.turn_away(from_, word.why);
    begin_record();
    co_return co_await part(house_.use.refusal(503, word.why));
  }

  /// Leaves room for others.
  void vacate() {
    if (std::exchange(in_, false))
      house_.vacate(from_);
  }

  // -- what is told of it -----------------------------------------------------

  /// A request is coming.
  void begin_record() {
    const auto& name = house_.options.new_name;
    record_.emplace(name ? name() : std::string{}, clock::now());
    common_.clear();
  }

  /// Logs what has become of it.
  void tell() {
    auto last = std::exchange(record_, std::nullopt);
    if (last && last->is_known() && house_.log.enabled(log_level::info))
      house_.tell(*last, from_, clock::now());
  }

  /// Gives an answer the headers that each has.
  void dress(reply& what) {
    auto& headers = what.headers;
    headers.insert(headers.end(), common_.begin(), common_.end());
    if (house_.options.unix_time)
      headers.emplace_back("Date", http_date(house_.options.unix_time()));
    if (!record_)
      return;
    record_->answered(what.status);
    if (!record_->id().empty())
      headers.emplace_back("X-Request-Id", record_->id());
  }

  // -- a request --------------------------------------------------------------

  /// Returns whether another request may follow.
  asio::awaitable<bool> serve_one() {
    head_only_ = false;
    bool ready = co_await read_head();
    if (!ready)
      co_return false;
    const auto& head = reader_.head();
    head_only_ = head.method == "HEAD";
    reader_.name(record_->is(head));
    std::optional<under_way> work{house_};
    auto no = house_.use.refuse_head(head);
    common_ = house_.use.headers_for(head);
    if (no) {
      work.reset();
      co_return co_await decline(std::move(*no));
    }
    ready = co_await read_body();
    if (!ready)
      co_return false;
    co_return co_await answer(reader_.take());
  }

  /// Reads until a head is there that keeps the rules.
  asio::awaitable<bool> read_head() {
    // A head that was sent early may have been read whole already.
    resting_ = reader_.rests();
    bool idle = !fresh_ && resting_;
    if (last_ && resting_)
      co_return false;
    fresh_ = false;
    if (!resting_)
      begin_record();
    while (reader_.at() == stage::head) {
      auto got = co_await receive();
      if (got.empty())
        co_return co_await give_up();
      reader_.add(got);
      if (!resting_ || reader_.rests())
        continue;
      resting_ = false;
      begin_record();
      if (idle)
        socket_.allow(limits_.head_deadline);
    }
    if (reader_.at() == stage::refused)
      co_return co_await refuse(reader_.why().status, reader_.why().why);
    co_return true;
  }

  /// Empty: the stream has ended.
  asio::awaitable<std::string_view> read_some() {
    auto n = co_await socket_.read_some(asio::buffer(bytes_));
    co_return std::string_view{bytes_.data(), n};
  }

  /// More of a request: whoever has begun one hears that it is late.
  asio::awaitable<std::string_view> receive() {
    auto n = co_await socket_.read_in_time(asio::buffer(bytes_), !resting_);
    co_return std::string_view{bytes_.data(), n};
  }

  /// No more of a request has come.
  asio::awaitable<bool> give_up() {
    if (!socket_.is_late())
      co_return false;
    ++house_.options.counts->late;
    co_return co_await part(
      house_.use.refusal(408, "the request has come too slowly"));
  }

  /// Reads until the body has come, which has a deadline and, after a moment
  /// of grace, a least speed.
  asio::awaitable<bool> read_body() {
    auto begin = clock::now();
    const auto& head = reader_.head();
    bool asks = head.expects_continue && head.http_11 && reader_.waiting() == 0;
    reader_.read_body();
    if (asks && reader_.at() == stage::body) {
      bool sent = co_await send("HTTP/1.1 100 Continue\r\n\r\n");
      if (!sent)
        co_return false;
    }
    while (reader_.at() == stage::body) {
      if (!hold(reader_.body_memory()))
        co_return co_await refuse(503, "too many bodies are on their way; try "
                                       "again later");
      socket_.allow_until(begin + limits_.time_for(reader_.body_size()));
      auto got = co_await receive();
      if (got.empty())
        co_return co_await give_up();
      reader_.add(got);
    }
    hold(0);
    if (reader_.at() == stage::refused)
      co_return co_await refuse(reader_.why().status, reader_.why().why);
    co_return true;
  }

  /// Has its part of what all connections may hold for bodies be `size`.
  bool hold(size_t size) {
    house_.release(std::exchange(held_, 0));
    if (!house_.hold(size))
      return false;
    held_ = size;
    return true;
  }

  // -- answers ----------------------------------------------------------------

  asio::awaitable<bool> answer(request what) {
    bool chunked = what.http_11;
    bool keep = what.keep_alive;
    auto way = std::make_shared<exchange>(limits_.max_buffered,
                                          caller(&connection::wake));
    {
      auto to = make_responder(
        way, house_.use.refusal(500, "the request was dropped"));
      what.client = origin_of(from_);
      house_.use.handle(std::move(what), std::move(to));
    }
    start_reading();
    bool ok = co_await transmit(*way, keep, chunked);
    if (!ok) {
      record_->cut();
      shut();
    }
    record_->took(way->tokens());
    way->close(); // does nothing after a finish
    co_await stop_reading();
    co_return ok&& keep && !last_;
  }

  /// Has `transmit` look again.
  void wake() {
    wake_.cancel();
  }

  /// Returns whether nothing woke it until `end`.
  asio::awaitable<bool> rest(clock::time_point end) {
    wake_.expires_at(end);
    auto [ec] = co_await wake_.async_wait(as_results);
    co_return !ec;
  }

  /// Sends what comes until it ends. False: the connection is of no more use.
  asio::awaitable<bool> transmit(exchange& way, bool& keep, bool chunked) {
    auto last = clock::now() + limits_.answer;
    socket_.allow_until(clock::time_point::max());
    bool begun = false, expired = false;
    std::string filler;
    for (;;) {
      if (clock::now() >= last) {
        if (std::exchange(expired, true))
          co_return false;
        last = clock::now() + limits_.linger;
        way.expire(house_.use.refusal(504, "the answer took too long"));
      }
      auto next = way.take();
      if (next.overrun || !socket_.is_open() || peer_gone_)
        co_return false;
      std::string out;
      bool has_head = next.head.has_value();
      if (has_head) {
        begun = true;
        keep = keep && !last_;
        filler = head_only_ ? "" : next.head->filler;
        out = first_bytes(std::move(*next.head), next.whole, chunked, keep);
      }
      if (!next.bytes.empty() && !head_only_)
        out += chunked ? chunk(next.bytes) : next.bytes;
      if (next.ended && !next.whole && chunked && !head_only_)
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
      socket_.allow_until(clock::time_point::max());
      if (has_head || !next.bytes.empty())
        continue;
      auto patience = filler.empty() ? clock::time_point::max()
                                     : clock::now() + limits_.silence;
      bool silent = co_await rest(std::min(patience, last));
      if (!silent || clock::now() < patience)
        continue;
      // Not within the call: g++ 12 destroys it twice.
      auto piece = chunked ? chunk(filler) : filler;
      bool sent = co_await send(std::move(piece));
      if (!sent)
        co_return false;
    }
  }

  std::string first_bytes(reply what, bool whole, bool chunked, bool keep) {
    dress(what);
    auto framing = whole     ? content_length(what)
                   : chunked ? "Transfer-Encoding: chunked\r\n"
                             : "";
    auto out = render_head(what, framing, keep);
    if (head_only_ || what.body.empty())
      return out;
    return out + (whole || !chunked ? what.body : chunk(what.body));
  }

  asio::awaitable<bool> send(std::string bytes) {
    if (record_)
      record_->sent(bytes.size());
    co_return co_await socket_.write(bytes, limits_.stall);
  }

  /// Sends the handler's refusal of a head. Where a body may be on its way
  /// nothing can follow: it is not read.
  asio::awaitable<bool> decline(reply what) {
    bool keep = reader_.head().keep_alive && !reader_.head().has_body()
                && !last_;
    if (!keep)
      co_return co_await part(std::move(what));
    reader_.read_body();
    reader_.take();
    co_return co_await send(first_bytes(std::move(what), true, true, true));
  }

  /// Answers for the server itself.
  asio::awaitable<bool> refuse(unsigned status, std::string why) {
    ++house_.options.counts->refused;
    co_return co_await part(house_.use.refusal(status, why));
  }

  /// A last answer. False, as nothing can follow: where the next request would
  /// start is unknown.
  asio::awaitable<bool> part(reply what) {
    bool sent = co_await send(first_bytes(std::move(what), true, true, false));
    vacate();
    socket_.allow(limits_.linger);
    if (sent)
      co_await socket_.linger();
    co_return false;
  }

  // -- noticing that the client has gone --------------------------------------

  void start_reading() {
    reading_ = wanted_ = true;
    spawn(&connection::read_early);
  }

  asio::awaitable<void> read_early() {
    while (wanted_) {
      auto got = co_await read_some();
      reader_.add(got);
      if (wanted_ && got.empty()) {
        peer_gone_ = true;
        break;
      }
      // Enough: the rest waits in the network, as long as it has to.
      if (reader_.at() == stage::refused || reader_.waiting() > max_sent_early)
        break;
    }
    while (wanted_ && !peer_gone_) {
      look_.expires_after(limits_.look);
      co_await look_.async_wait(as_results);
      peer_gone_ = wanted_ && socket_.has_left();
    }
    reading_ = false;
    wake_.cancel();
  }

  asio::awaitable<void> stop_reading() {
    wanted_ = false;
    socket_.cancel();
    look_.cancel();
    while (reading_)
      co_await rest(clock::time_point::max());
  }

  house& house_;
  const server_limits& limits_;
  timed_socket socket_;
  const ip_bytes from_;
  asio::steady_timer wake_;           ///< Cancelled to say: look again.
  asio::steady_timer look_;           ///< At a client of which nothing is read.
  std::array<char, read_size> bytes_; ///< What has just come.
  request_reader reader_;
  size_t held_ = 0; ///< Of what all connections may hold for bodies.
  std::optional<access_record> record_; ///< Of the request that is under way.
  header_list common_;                  ///< Of every answer to it.
  uint64_t key_ = 0;
  bool in_ = false;        ///< Counts as a guest.
  bool head_only_ = false; ///< HEAD asks for no body.
  bool fresh_ = true;      ///< The deadline runs since the accept.
  bool resting_ = false;   ///< No byte of a request has come.
  bool last_ = false;      ///< No request is to follow.
  bool reading_ = false;
  bool wanted_ = false;
  bool peer_gone_ = false;
};

} // namespace

void serve(house& in, stream_socket socket, ip_bytes from) {
  std::make_shared<connection>(in, std::move(socket), from)->start();
}

} // namespace troupe::http
