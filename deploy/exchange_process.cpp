#include "deploy/exchange_process.hpp"

#include <charconv>

namespace troupe {

namespace {

constexpr const char* name_stem = "exchange-";

/// Of whatever a parent waits for.
constexpr std::chrono::seconds patience_with_peers{60};

std::string failed(const std::string& why) {
  return "failed " + why;
}

std::string to_hex(std::span<const std::byte> bytes) {
  constexpr auto digits = "0123456789abcdef";
  std::string out;
  for (auto x : bytes) {
    out += digits[size_t(x) >> 4];
    out += digits[size_t(x) & 15];
  }
  return out;
}

std::vector<std::byte> from_hex(std::string_view text) {
  std::vector<std::byte> out(text.size() / 2);
  for (size_t i = 0; i < out.size(); ++i) {
    uint8_t x = 0;
    std::from_chars(text.data() + 2 * i, text.data() + 2 * i + 2, x, 16);
    out[i] = std::byte{x};
  }
  return out;
}

result<node_id> admit(const node_identity& who) {
  constexpr std::string_view stem = name_stem;
  node_id out = 0;
  auto digits
    = std::string_view{who.name}.substr(std::min(stem.size(), who.name.size()));
  auto end = digits.data() + digits.size();
  if (!who.name.starts_with(stem)
      || std::from_chars(digits.data(), end, out).ptr != end)
    return failure{errc::refused, "only processes of the exchange may come"};
  return out;
}

} // namespace

exchange_process::exchange_process(word_channel channel, uint32_t self)
  : channel_(std::move(channel)), self_(self),
    log_(name_stem + std::to_string(self), log_level::warning) {
}

void exchange_process::run() {
  // The kernel ends a child whose parent has died: this may wait for ever.
  while (true) {
    auto word = channel_.await(patience_with_peers);
    if (!word)
      continue;
    std::istringstream in{*word};
    std::string verb;
    in >> verb;
    if (auto answer = obey(verb, in); !answer.empty())
      channel_.say(answer);
  }
}

std::string exchange_process::obey(const std::string& verb, std::istream& in) {
  if (verb == "troupe") {
    std::string host, secret;
    in >> host >> secret;
    return listen(host, secret);
  }
  if (verb == "raw")
    return listen_raw();
  if (verb == "dial") {
    node_id peer = 0;
    endpoint_address to{net_->self().listen.host, 0};
    in >> peer >> to.port;
    net_->connect(peer,
                  {to, name_stem + std::to_string(peer), patience_with_peers});
    return {};
  }
  if (verb == "raw-dial") {
    uint32_t peer = 0;
    std::string address;
    in >> peer >> address;
    return connect_raw(peer, address);
  }
  if (verb == "await") {
    size_t num_peers = 0;
    in >> num_peers;
    return await(num_peers);
  }
  std::string how;
  bench::exchange_shape shape;
  in >> how >> shape.dispatch_bytes >> shape.combine_bytes >> shape.window
    >> shape.num_rounds;
  return verb == "run" && in ? measure(how, shape)
                             : failed("not understood: " + verb);
}

std::string exchange_process::listen(const std::string& host,
                                     const std::string& secret) {
  ucx_options options;
  options.listen = {host, 0};
  options.cluster = "troupe bench transport";
  options.secret = secret;
  options.self.name = name_stem + std::to_string(self_);
  options.self_id = node_id(self_);
  transport_handler handler;
  handler.on_frame = [this](node_id from, frame&& x) {
    exchange_.on_frame(from, std::move(x));
  };
  handler.on_peer_joined = [this](node_id peer, const node_identity&) {
    std::lock_guard guard{mutex_};
    peers_.push_back(peer);
    joined_.notify_all();
  };
  auto made = ucx_transport::listen(options, {time_, chance_, log_}, {admit},
                                    std::move(handler));
  if (!made)
    return failed(made.why().message);
  net_ = std::move(*made);
  exchange_.use(*net_);
  return "at " + std::to_string(net_->self().listen.port);
}

std::string exchange_process::listen_raw() {
  auto made = ucx_raw_exchange::open(net_->self().listen, self_, max_body);
  if (!made)
    return failed(made.why().message);
  raw_ = std::move(*made);
  return "at " + to_hex(raw_->address());
}

std::string exchange_process::connect_raw(uint32_t peer,
                                          const std::string& address) {
  auto ok = raw_->connect(peer, from_hex(address));
  return ok ? "" : failed(ok.why().message);
}

std::string exchange_process::await(size_t num_peers) {
  std::unique_lock guard{mutex_};
  auto all = joined_.wait_for(guard, patience_with_peers,
                              [&] { return peers_.size() == num_peers; });
  return all ? "ready" : failed("not all processes could be reached");
}

std::string exchange_process::measure(const std::string& how,
                                      bench::exchange_shape shape) {
  std::vector<node_id> peers;
  {
    std::lock_guard guard{mutex_};
    peers = peers_;
  }
  shape.num_peers = uint32_t(peers.size());
  auto begin = time_.now();
  auto done = how == "raw" ? raw_->run(shape, time_, patience_with_peers)
                           : exchange_.run(shape, peers, patience_with_peers);
  std::chrono::nanoseconds took = time_.now() - begin;
  return done ? "took " + std::to_string(took.count())
              : failed("rows did not come back");
}

} // namespace troupe
