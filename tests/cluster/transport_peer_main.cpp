// A process with one ucx_transport, told what to do by lines on its standard
// input and telling what happens by lines on its standard output. See
// transport_test.cpp, which runs several of them.

#include "runtime/transport/crc32c.hpp"
#include "runtime/transport/ucx_transport.hpp"

#include <sys/prctl.h>
#include <sys/resource.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <mutex>
#include <semaphore>
#include <sstream>
#include <thread>

namespace troupe {

namespace {

using std::chrono::milliseconds;

std::mutex print_mutex;

template <class... Ts>
void print(const Ts&... xs) {
  std::ostringstream line;
  ((line << xs << ' '), ...);
  std::lock_guard guard{print_mutex};
  std::cout << line.str() << std::endl;
}

/// Bytes that differ by frame and place.
body pattern(uint64_t id, size_t n) {
  auto data = std::make_shared<std::vector<std::byte>>(n);
  for (size_t i = 0; i < n; ++i)
    (*data)[i] = std::byte(i * 31 + (i >> 8) + id * 7);
  return {data, *data};
}

bool fits(const frame& x) {
  auto expected = pattern(x.header.id, x.header.length);
  auto bytes = x.payload.bytes();
  return reinterpret_cast<uintptr_t>(bytes.data()) % 64 == 0
         && std::ranges::equal(bytes, expected.bytes());
}

constexpr uint32_t ask = 1, reply = 2; // In frame_header::step.

class peer_process {
public:
  peer_process(ucx_options options, uint16_t self) : log_("peer", level()) {
    auto self_id = self;
    options.self_id = self_id;
    auto x = ucx_transport::listen(std::move(options), {clock_, chance_, log_},
                                   {admit}, handler());
    if (!x) {
      print("refused", to_string(x.why().code), x.why().message);
      return;
    }
    net_ = std::move(*x);
    auto& who = net_->self();
    print("listening", who.listen.port, who.incarnation);
  }

  void run() {
    std::string line;
    while (net_ && std::getline(std::cin, line)) {
      std::istringstream in{line};
      std::string verb;
      in >> verb;
      obey(verb, in);
      print("ok", verb);
    }
  }

private:
  static log_level level() {
    return std::getenv("PEER_LOG") ? log_level::debug : log_level::error;
  }

  /// "node-3" is node 3; nobody else has a place.
  static result<node_id> admit(const node_identity& who) {
    if (!who.name.starts_with("node-"))
      return failure{errc::refused,
                     "this cluster has no place for node " + who.name};
    return node_id(std::atoi(who.name.c_str() + 5));
  }

  transport_handler handler() {
    return {
      .on_frame = [this](node_id from,
                         frame&& x) { on_frame(from, std::move(x)); },
      .on_peer_lost = [](node_id peer, uint64_t,
                         const std::string& why) { print("lost", peer, why); },
      .on_peer_joined =
        [](node_id peer, const node_identity& who) {
          print("joined", peer, who.name, who.incarnation);
        },
      .on_connect_failed =
        [](node_id peer, const failure& why) {
          print("failed", peer, to_string(why.code), why.message);
        }};
  }

  void on_frame(node_id from, frame&& x) {
    if (x.header.step == ask) {
      frame_header header;
      header.step = reply;
      net_->send(from, header, x.payload);
    } else if (x.header.step == reply) {
      replied_.release();
    } else {
      print("frame", from, x.header.id, x.header.length,
            fits(x) ? "good" : "bad");
    }
  }

  void obey(const std::string& verb, std::istream& in) {
    int peer = 0;
    in >> peer;
    if (verb == "connect") {
      endpoint_address to{"127.0.0.1", 0};
      in >> to.port;
      std::string name;
      in >> name;
      net_->connect(node_id(peer), {to, name, milliseconds{10000}});
    } else if (verb == "send") {
      send(node_id(peer), in);
    } else if (verb == "flood") {
      flood(node_id(peer));
    } else if (verb == "limit") {
      net_->set_max_unsent(size_t(peer));
    } else if (verb == "say") {
      frame_header header; // control
      header.id = 99;
      net_->send(node_id(peer), header, pattern(99, 64));
    } else if (verb == "monitor") {
      net_->monitor(node_id(peer));
    } else if (verb == "disconnect") {
      uint64_t incarnation = 0;
      in >> incarnation;
      net_->disconnect(node_id(peer), incarnation, "it was told so");
    } else if (verb == "view") {
      net_->set_view(uint32_t(peer));
    } else if (verb == "stats") {
      print_stats();
    } else if (verb == "time") {
      measure(node_id(peer), in);
    } else if (verb == "idle") {
      print("idle",
            cpu_of([&] { std::this_thread::sleep_for(milliseconds{peer}); }));
    }
  }

  /// Several frames of the sizes that follow, with ids 1, 2...
  void send(node_id peer, std::istream& in) {
    size_t size = 0;
    for (uint64_t id = 1; in >> size; ++id) {
      frame_header header;
      header.kind = frame_class::dispatch;
      header.id = id;
      net_->send(peer, header, pattern(id, size));
    }
  }

  /// Rows: 16 frames of 4 MiB with ids 1, 2...
  void flood(node_id peer) {
    frame_header header;
    header.kind = frame_class::dispatch;
    for (header.id = 1; header.id <= 16; ++header.id)
      net_->send(peer, header, pattern(header.id, 4 << 20));
  }

  void print_stats() {
    auto x = net_->stats();
    print("stats", "damaged", x.frames_refused[size_t(refusal::damaged)],
          "foreign", x.frames_refused[size_t(refusal::foreign)], "stale",
          x.frames_refused[size_t(refusal::stale)], "unknown",
          x.frames_refused[size_t(refusal::unknown_peer)], "repeated",
          x.frames_refused[size_t(refusal::repeated)], "ahead",
          x.frames_refused[size_t(refusal::ahead)], "strangers",
          x.strangers_dropped);
  }

  void measure(node_id peer, std::istream& in) {
    size_t size = 0, count = 0;
    in >> size >> count;
    auto payload = pattern(0, size);
    std::vector<double> times;
    frame_header header;
    header.step = ask;
    for (size_t i = 0; i < count; ++i) {
      auto begin = clock_.now();
      net_->send(peer, header, payload);
      replied_.acquire();
      std::chrono::duration<double, std::micro> time = clock_.now() - begin;
      times.push_back(time.count());
    }
    std::ranges::sort(times);
    print("time", size, "p50", times[count / 2], "p99",
          times[count * 99 / 100]);
  }

  /// Milliseconds of processor time that the process used meanwhile.
  template <class F>
  double cpu_of(F f) {
    auto used = [] {
      rusage x{};
      getrusage(RUSAGE_SELF, &x);
      return 1e3 * double(x.ru_utime.tv_sec + x.ru_stime.tv_sec)
             + 1e-3 * double(x.ru_utime.tv_usec + x.ru_stime.tv_usec);
    };
    auto before = used();
    f();
    return used() - before;
  }

  system_clock clock_;
  system_entropy chance_;
  logger log_;
  std::counting_semaphore<> replied_{0};
  std::unique_ptr<ucx_transport> net_;
};

} // namespace

} // namespace troupe

/// Arguments: name, own node, cluster, secret, incarnation (0: drawn),
/// fingerprint, whether bodies are checksummed, limit on unsent bytes,
/// milliseconds after which a peer that takes nothing is lost.
int main(int argc, char** argv) {
  CHECK(argc == 10);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  troupe::ucx_options options;
  options.self.name = argv[1];
  options.cluster = argv[3];
  options.secret = argv[4];
  options.self.incarnation = std::strtoull(argv[5], nullptr, 10);
  options.self.fingerprint = std::strtoull(argv[6], nullptr, 10);
  options.checksum_bodies = std::atoi(argv[7]) != 0;
  options.max_unsent = std::strtoull(argv[8], nullptr, 10);
  options.max_body = std::min(options.max_body, options.max_unsent);
  options.stall_verdict = std::chrono::milliseconds{std::atoi(argv[9])};
  troupe::peer_process{std::move(options), uint16_t(std::atoi(argv[2]))}.run();
}
