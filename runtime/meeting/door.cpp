#include "runtime/meeting/door.hpp"

#include "runtime/file_descriptor.hpp"
#include "runtime/meeting/line.hpp"
#include "runtime/transport/ucx_address.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

#include <atomic>
#include <deque>
#include <map>
#include <thread>

namespace troupe {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

namespace {

result<tcp::endpoint> to_endpoint(const endpoint_address& x) {
  error_code ec;
  auto address = asio::ip::make_address(x.host, ec);
  if (ec)
    return failure{errc::invalid_input,
                   "'" + x.host + "' is not a numeric address"};
  return tcp::endpoint{address, x.port};
}

class tcp_door final : public door, line::owner {
public:
  tcp_door(door_options options, handshake_options who, entropy& chance,
           const logger& log, door_handler handler)
    : options_(std::move(options)), who_(std::move(who)), chance_(chance),
      log_(log), handler_(std::move(handler)), acceptor_(io_), pause_(io_) {
  }

  ~tcp_door() override {
    is_closing_ = true;
    asio::post(io_, [this] {
      error_code ignored;
      acceptor_.close(ignored);
      pause_.cancel();
      for (auto& [id, x] : std::map{lines_})
        x->close();
    });
    work_.reset();
    if (thread_.joinable())
      thread_.join();
  }

  result<void> start() {
    if (auto ok = tls_.load(options_.tls); !ok)
      return ok;
    if (auto ok = listen(); !ok)
      return ok;
    accept();
    thread_ = std::thread{[this] { io_.run(); }};
    return {};
  }

  const endpoint_address& address() const override {
    return who_.self.listen;
  }

  line_id dial(dial_target target) override {
    auto id = ++last_line_;
    asio::post(io_, [=, this] { start_dial(id, target); });
    return id;
  }

  void proceed(line_id line) override {
    answer(line, [](auto& x) { x.proceed(); });
  }

  void welcome(line_id line) override {
    answer(line, [](auto& x) { x.welcome(); });
  }

  void refuse(line_id line, std::string why) override {
    answer(line, [why = std::move(why)](auto& x) { x.refuse(why); });
  }

  void close(line_id line) override {
    answer(line, [](auto& x) { x.close(); });
  }

  door_stats stats() const override {
    return {came_, proven_, dropped_};
  }

private:
  result<void> listen() {
    auto end = to_endpoint(options_.listen);
    if (!end)
      return end.why();
    error_code ec;
    acceptor_.open(end->protocol(), ec);
    close_on_exec(acceptor_.native_handle());
    // A port that was just closed can be opened again at once.
    if (!ec)
      acceptor_.set_option(tcp::acceptor::reuse_address{true}, ec);
    if (!ec)
      acceptor_.bind(*end, ec);
    if (!ec)
      acceptor_.listen(tcp::socket::max_listen_connections, ec);
    auto actual = ec ? tcp::endpoint{} : acceptor_.local_endpoint(ec);
    if (ec)
      return failure{errc::io, "cannot listen on " + to_string(options_.listen)
                                 + ": " + ec.message()};
    who_.self.listen = {actual.address().to_string(), actual.port()};
    return {};
  }

  void accept() {
    acceptor_.async_accept([this](error_code ec, tcp::socket socket) {
      if (is_closing_)
        return;
      if (ec)
        return accept_later();
      close_on_exec(socket.native_handle());
      take(std::move(socket));
      accept();
    });
  }

  /// No descriptors are left, say: strangers go, then it is tried again.
  void accept_later() {
    pause_.expires_after(std::chrono::milliseconds{100});
    pause_.async_wait([this](error_code ec) {
      if (!ec && !is_closing_)
        accept();
    });
  }

  void take(tcp::socket socket) {
    ++came_;
    auto id = ++last_line_;
    auto x = make(id, std::move(socket), handshake::role::responder);
    strangers_.push_back(id);
    if (strangers_.size() > options_.max_strangers)
      lines_.at(strangers_.front())->drop("there were too many strangers");
    x->serve(options_.deadline);
  }

  void start_dial(line_id id, const dial_target& target) {
    auto x = make(id, tcp::socket{io_}, handshake::role::initiator);
    auto end = to_endpoint(target.address);
    if (!end)
      return x->drop(end.why().message);
    x->dial(*end, target);
  }

  std::shared_ptr<line> make(line_id id, tcp::socket socket,
                             handshake::role side) {
    hello_nonce nonce;
    chance_.fill(nonce);
    line::owner& self = *this;
    auto x = std::make_shared<line>(self, id, std::move(socket), tls_,
                                    handshake{side, who_, nonce});
    lines_[id] = x;
    return x;
  }

  template <class Fn>
  void answer(line_id id, Fn fn) {
    asio::post(io_, [this, id, fn = std::move(fn)] {
      if (auto i = lines_.find(id); i != lines_.end()) {
        auto keep = i->second;
        fn(*keep);
      }
    });
  }

  // -- what lines tell, on the thread -----------------------------------------

  void on_proven(line& x) override {
    ++proven_;
    std::erase(strangers_, x.id());
    if (handler_.on_proven && !is_closing_)
      handler_.on_proven(x.other());
  }

  void on_met(line& x) override {
    if (handler_.on_met && !is_closing_)
      handler_.on_met(x.id(), x.other().who);
  }

  void on_welcomed(line& x) override {
    if (handler_.on_welcomed && !is_closing_)
      handler_.on_welcomed(x.other());
  }

  void on_waiting(const dial_target& target, const std::string& why) override {
    log_.warning("waits for somebody at " + to_string(target.address) + ": "
                 + why);
  }

  void on_over(line& x, const std::optional<failure>& why) override {
    auto keep = lines_.at(x.id());
    lines_.erase(x.id());
    auto was_stranger = std::erase(strangers_, x.id()) > 0;
    if (was_stranger) {
      ++dropped_;
      log_.debug("dropped a stranger: " + (why ? why->message : "closed"));
    }
    if (!why || is_closing_)
      return;
    // Who came and has proven itself is known outside, welcome or not.
    if (x.is_up() || (!x.is_ours() && !was_stranger)) {
      if (handler_.on_ended)
        handler_.on_ended(x.id(), why->message);
    } else if (x.is_ours() && handler_.on_failed) {
      handler_.on_failed(x.id(), *why);
    }
  }

  door_options options_;
  handshake_options who_;
  entropy& chance_;
  const logger& log_;
  const door_handler handler_;
  std::atomic<line_id> last_line_ = 0;
  std::atomic<bool> is_closing_ = false;
  std::atomic<uint64_t> came_ = 0, proven_ = 0, dropped_ = 0;

  // The thread's own.
  asio::io_context io_{1};
  asio::executor_work_guard<asio::io_context::executor_type> work_{
    io_.get_executor()};
  line_tls tls_;
  tcp::acceptor acceptor_;
  asio::steady_timer pause_;
  std::map<line_id, std::shared_ptr<line>> lines_;
  std::deque<line_id> strangers_; ///< Who came and is not proven; oldest first.
  std::thread thread_;
};

} // namespace

result<std::unique_ptr<door>>
door::open(door_options options, handshake_options who, entropy& chance,
           const logger& log, door_handler handler) {
  CHECK(handler.on_proven && handler.on_met);
  auto out = std::make_unique<tcp_door>(std::move(options), std::move(who),
                                        chance, log, std::move(handler));
  if (auto ok = out->start(); !ok)
    return ok.why();
  return std::unique_ptr<door>{std::move(out)};
}

} // namespace troupe
