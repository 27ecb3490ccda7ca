#include "runtime/http/server.hpp"

#include "runtime/file_descriptor.hpp"
#include "runtime/http/connection.hpp"

#include <algorithm>
#include <cctype>
#include <cstring>
#include <thread>

#include <netinet/in.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>

namespace troupe::http {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

// -- who is connected ---------------------------------------------------------

house::house(server_options o, handler& h, logger l)
  : options(std::move(o)), use(h), log(std::move(l)),
    guests_(options.limits.guests) {
}

tls_context house::tls() const {
  std::lock_guard guard{mutex_};
  return tls_;
}

void house::set_tls(tls_context tls) {
  std::lock_guard guard{mutex_};
  tls_ = std::move(tls);
}

uint64_t house::enter(way_out out, const ip_bytes& from) {
  std::unique_lock lock{mutex_};
  if (ending_)
    return 0;
  if (auto word = guests_.arrive(from); !word.granted) {
    lock.unlock();
    turn_away(from, word.why);
    return 0;
  }
  open_.emplace(++last_key_, std::move(out));
  return last_key_;
}

void house::leave(uint64_t key, const ip_bytes& from) {
  std::lock_guard guard{mutex_};
  guests_.depart(from);
  open_.erase(key);
  if (open_.empty())
    emptied_.notify_all();
}

admission house::admit(const ip_bytes& from) {
  std::lock_guard guard{mutex_};
  auto out = guests_.enter(from);
  options.counts->open = guests_.size();
  if (out.granted)
    ++options.counts->accepted; // nobody sees it come and nobody there
  return out;
}

void house::vacate(const ip_bytes& from) {
  std::lock_guard guard{mutex_};
  guests_.leave(from);
  options.counts->open = guests_.size();
}

void house::turn_away(const ip_bytes& from, const std::string& why) {
  ++options.counts->turned_away;
  std::unique_lock lock{mutex_};
  auto is_news = guests_.turn_away(from);
  lock.unlock();
  if (is_news)
    log.warning("turning connections away: " + why);
}

void house::tell(const access_record& of, const ip_bytes& from,
                 access_record::instant now) const {
  auto who = options.unix_path.empty() ? origin_of(from) : "admin";
  log.info(of.line(who, now), of.fields(who, now));
}

bool house::hold(size_t size) {
  std::lock_guard guard{mutex_};
  if (size > options.limits.max_bodies - held_)
    return false;
  held_ += size;
  return true;
}

void house::release(size_t size) {
  std::lock_guard guard{mutex_};
  held_ -= size;
}

void house::end_all(std::function<void()> way_out::*how) {
  std::lock_guard guard{mutex_};
  ending_ = true;
  for (auto& [key, out] : open_)
    (out.*how)();
}

bool house::wait_until_empty(std::chrono::milliseconds limit) {
  std::unique_lock lock{mutex_};
  return emptied_.wait_for(lock, limit, [this] { return open_.empty(); });
}

uint64_t house::times_answered() const {
  std::lock_guard guard{mutex_};
  return times_answered_;
}

bool house::wait_until_answered(uint64_t since,
                                std::chrono::milliseconds limit) {
  std::unique_lock lock{mutex_};
  return answered_.wait_for(lock, limit, [this, since] {
    return under_way_ == 0 || times_answered_ != since;
  });
}

under_way::under_way(house& in) : in_(in) {
  std::lock_guard guard{in_.mutex_};
  ++in_.under_way_;
}

under_way::~under_way() {
  std::lock_guard guard{in_.mutex_};
  if (--in_.under_way_ > 0)
    return;
  ++in_.times_answered_;
  in_.answered_.notify_all();
}

namespace {

ip_bytes bytes_of(const asio::ip::address& x) {
  auto v6 = x.is_v6()
              ? x.to_v6()
              : asio::ip::make_address_v6(asio::ip::v4_mapped, x.to_v4());
  return v6.to_bytes();
}

// -- the server ---------------------------------------------------------------

using stream_acceptor
  = asio::basic_socket_acceptor<asio::generic::stream_protocol>;
using unix_protocol = asio::local::stream_protocol;

/// Where a server listens: an acceptor, and its pause when it cannot accept.
struct listener {
  explicit listener(asio::io_context& io)
    : acceptor(asio::make_strand(io)), pause(acceptor.get_executor()) {
  }

  error_code open(const tcp::endpoint& end) {
    error_code ec;
    acceptor.open(end.protocol(), ec);
    close_on_exec(acceptor.native_handle());
    if (!ec)
      acceptor.set_option(asio::socket_base::reuse_address{true}, ec);
    if (!ec)
      acceptor.bind(end, ec);
    if (!ec)
      acceptor.listen(asio::socket_base::max_listen_connections, ec);
    return ec;
  }

  /// A file that nobody else may open from its first moment.
  error_code open(const unix_protocol::endpoint& end) {
    error_code ec;
    acceptor.open(end.protocol(), ec);
    close_on_exec(acceptor.native_handle());
    if (!ec && ::fchmod(acceptor.native_handle(), S_IRUSR | S_IWUSR) != 0)
      ec.assign(errno, boost::system::system_category());
    if (!ec)
      acceptor.bind(end, ec);
    if (!ec)
      acceptor.listen(asio::socket_base::max_listen_connections, ec);
    return ec;
  }

  stream_acceptor acceptor;
  asio::steady_timer pause;
};

/// Makes room for a socket at `path` where one is that nobody listens at.
void remove_stale(asio::io_context& io, const std::string& path) {
  struct stat about = {};
  if (::lstat(path.c_str(), &about) != 0 || !S_ISSOCK(about.st_mode))
    return;
  error_code ec;
  unix_protocol::socket probe{io};
  probe.connect(unix_protocol::endpoint{path}, ec);
  if (ec == asio::error::connection_refused)
    ::unlink(path.c_str());
}

/// The client at the other end of `socket`; one of a file is at home.
ip_bytes client_of(const stream_socket& socket, error_code& ec) {
  auto peer = socket.remote_endpoint(ec);
  if (ec || peer.protocol().family() == AF_UNIX)
    return bytes_of(asio::ip::address_v6::loopback());
  tcp::endpoint end;
  end.resize(peer.size());
  std::memcpy(end.data(), peer.data(), peer.size());
  return bytes_of(end.address());
}

bool may_be_a_name(std::string_view host) {
  return !host.empty() && std::ranges::all_of(host, [](unsigned char c) {
    return std::isalnum(c) || c == '.' || c == '-' || c == '_';
  });
}

/// The addresses of `host`, which is one or has some.
result<std::vector<asio::ip::address>> resolve(asio::io_context& io,
                                               const std::string& host) {
  using addresses = std::vector<asio::ip::address>;
  error_code ec;
  auto address = asio::ip::make_address(host, ec);
  if (!ec)
    return addresses{address};
  if (!may_be_a_name(host))
    return failure{errc::invalid_input, "the address to listen on, '" + host
                                          + "', is no IP address and no name"};
  auto found = tcp::resolver{io}.resolve(host, "", ec);
  if (ec)
    return failure{errc::invalid_input,
                   "the host to listen on, '" + host
                     + "', has no address: " + ec.message()};
  addresses out;
  for (const auto& x : found)
    if (std::ranges::find(out, x.endpoint().address()) == out.end())
      out.push_back(x.endpoint().address());
  return out;
}

/// Whether this machine has no such address: another one of a name will do.
bool is_absent(const error_code& ec) {
  return ec == asio::error::address_family_not_supported
         || ec == boost::system::errc::address_not_available;
}

class asio_server : public server {
public:
  asio_server(server_options options, handler& use, logger log)
    : house_(std::move(options), use, std::move(log)) {
  }

  ~asio_server() override {
    close(&way_out::now);
    for (auto& x : threads_)
      x.join();
    if (!threads_.empty() && !house_.options.unix_path.empty())
      ::unlink(house_.options.unix_path.c_str());
  }

  result<void> listen() {
    if (auto ok = reload_certificate(); !ok)
      return ok.why();
    const auto& options = house_.options;
    if (!options.unix_path.empty())
      return listen_at(options.unix_path);
    auto addresses = resolve(io_, options.address);
    if (!addresses)
      return addresses.why();
    port_ = options.port;
    error_code why;
    for (const auto& address : *addresses) {
      auto x = std::make_unique<listener>(io_);
      why = x->open({address, port_});
      if (why && is_absent(why))
        continue;
      if (why)
        break;
      port_ = port_of(*x, port_);
      listeners_.push_back(std::move(x));
    }
    if (listeners_.empty() || (why && !is_absent(why)))
      return failure{errc::io, "cannot listen on " + options.address + " port "
                                 + std::to_string(port_) + ": "
                                 + why.message()};
    return {};
  }

  void run() {
    for (auto& x : listeners_)
      asio::post(x->acceptor.get_executor(), [this, &x] { accept(*x); });
    for (uint32_t i = 0; i < std::max(house_.options.num_threads, 1u); ++i)
      threads_.emplace_back([this] { io_.run(); });
  }

  uint64_t times_answered() const override {
    return house_.times_answered();
  }

  bool wait_until_answered(uint64_t since,
                           std::chrono::milliseconds limit) override {
    return house_.wait_until_answered(since, limit);
  }

  bool finish(std::chrono::milliseconds limit) override {
    close(&way_out::soon);
    return house_.wait_until_empty(limit);
  }

  result<void> reload_certificate() override {
    const auto& options = house_.options;
    if (options.certificate.empty())
      return {};
    auto tls = load_tls(options.certificate, options.key);
    if (!tls)
      return tls.why();
    house_.set_tls(std::move(*tls));
    return {};
  }

  uint16_t port() const override {
    return port_;
  }

private:
  result<void> listen_at(const std::string& path) {
    constexpr size_t max_path = sizeof(sockaddr_un::sun_path) - 1;
    if (path.size() > max_path)
      return failure{errc::invalid_input, "the path of a socket has at most "
                                            + std::to_string(max_path)
                                            + " bytes: " + path};
    remove_stale(io_, path);
    auto x = std::make_unique<listener>(io_);
    if (auto why = x->open(unix_protocol::endpoint{path}))
      return failure{errc::io,
                     "cannot listen at " + path + ": " + why.message()};
    listeners_.push_back(std::move(x));
    return {};
  }

  static uint16_t port_of(const listener& x, uint16_t otherwise) {
    error_code ec;
    auto at = x.acceptor.local_endpoint(ec);
    sockaddr_in v4{};
    if (ec || at.size() < sizeof v4)
      return otherwise;
    std::memcpy(&v4, at.data(), sizeof v4); // of IPv6 the port is there, too
    return ntohs(v4.sin_port);
  }

  /// Nobody comes in once this returns.
  void close(std::function<void()> way_out::*how) {
    house_.end_all(how);
    for (auto& x : listeners_)
      asio::post(x->acceptor.get_executor(), [&x] {
        error_code ignored;
        x->acceptor.close(ignored);
        x->pause.cancel();
      });
  }

  void accept(listener& at) {
    if (!at.acceptor.is_open())
      return;
    at.acceptor.async_accept(asio::any_io_executor{asio::make_strand(io_)},
                             [this, &at](error_code ec, stream_socket socket) {
                               if (!at.acceptor.is_open())
                                 return;
                               if (ec)
                                 return accept_later(at, ec);
                               close_on_exec(socket.native_handle());
                               auto from = client_of(socket, ec);
                               if (!ec)
                                 serve(house_, std::move(socket), from);
                               accept(at);
                             });
  }

  /// Out of descriptors, most likely: trying again at once would spin.
  void accept_later(listener& at, error_code why) {
    house_.log.warning("cannot accept: " + why.message());
    at.pause.expires_after(std::chrono::milliseconds{100});
    at.pause.async_wait([this, &at](error_code) { accept(at); });
  }

  asio::io_context io_;
  house house_;
  std::vector<std::unique_ptr<listener>> listeners_;
  std::vector<std::thread> threads_;
  uint16_t port_ = 0;
};

} // namespace

result<std::unique_ptr<server>> server::start(server_options options,
                                              handler& use, logger log) {
  auto x = std::make_unique<asio_server>(std::move(options), use,
                                         std::move(log));
  if (auto ok = x->listen(); !ok)
    return ok.why();
  x->run();
  return std::unique_ptr<server>{std::move(x)};
}

} // namespace troupe::http
