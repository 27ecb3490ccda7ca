/// How long it takes until a process hears that another one was killed, with
/// sends to it under way: from kill(2) to the transport's event.
///
///   detection_bench [kills]
///
/// Over TCP, and over shared memory (in the words of UCX: posix). Two cores and
/// a calm machine are enough; on a busy one it measures the others.

#include "runtime/transport/ucx_transport.hpp"

#include <algorithm>
#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string>
#include <vector>

#include <spawn.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace troupe {

namespace {

using namespace std::chrono_literals;

constexpr std::chrono::seconds patience{20};

constexpr int window = 8; ///< Frames on their way there and back.
constexpr int warm = 50;  ///< Answers before the blow.

/// What both sides live on.
struct world {
  system_clock time;
  system_entropy chance;
  logger log{"bench", log_level::error};

  result<std::unique_ptr<ucx_transport>> listen(const char* name, node_id id,
                                                transport_handler handler) {
    ucx_options options;
    options.self.name = name;
    options.self_id = id;
    return ucx_transport::listen(
      std::move(options), {time, chance, log},
      {[](auto&) { return result<node_id>{node_id{1}}; }}, std::move(handler));
  }
};

/// Runs this program anew, with the environment as it is now.
pid_t spawn(std::vector<std::string> args) {
  std::vector<char*> argv;
  for (auto& x : args)
    argv.push_back(x.data());
  argv.push_back(nullptr);
  pid_t out = 0;
  CHECK(::posix_spawn(&out, "/proc/self/exe", nullptr, nullptr, argv.data(),
                      environ)
        == 0);
  return out;
}

/// The one that is killed: answers everything until then.
[[noreturn]] void be_victim(uint16_t port) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  world around;
  transport* self = nullptr;
  auto net = around.listen("victim", 1,
                           {.on_frame = [&self](node_id from, frame&& x) {
                             self->send(from, {}, x.payload);
                           }});
  if (!net)
    std::_Exit(1);
  self = net->get();
  (*net)->connect(0, {{"127.0.0.1", port}, {}, 10s});
  for (;;)
    ::pause();
}

/// The one that wants to know.
class witness {
public:
  result<void> open() {
    transport_handler handler;
    handler.on_frame = [this](auto...) {
      if (++num_answers_ == warm)
        mark(warm_);
      send();
    };
    handler.on_peer_joined = [this](auto...) { mark(joined_); };
    handler.on_peer_lost = [this](auto...) { mark(lost_); };
    auto net = around_.listen("witness", 0, std::move(handler));
    if (!net)
      return net.why();
    net_ = std::move(*net);
    return {};
  }

  /// Kills a process that is sent to; returns the milliseconds until that was
  /// heard, or nothing if it was not.
  std::optional<double> kill_one() {
    auto port = std::to_string(net_->self().listen.port);
    auto victim = spawn({"detection_bench", "victim", port});
    auto is_warm = await(joined_);
    for (int i = 0; is_warm && i < window; ++i)
      send();
    is_warm = is_warm && await(warm_);
    auto begin = around_.time.now();
    ::kill(victim, SIGKILL);
    auto heard = is_warm && await(lost_);
    ::waitpid(victim, nullptr, 0);
    if (!heard)
      return std::nullopt;
    std::chrono::duration<double, std::milli> time = *lost_ - begin;
    return time.count();
  }

private:
  using moment = std::optional<clock::instant>;

  void send() {
    frame_header rows;
    rows.kind = frame_class::dispatch;
    net_->send(1, rows, {data_, *data_});
  }

  void mark(moment& x) {
    std::lock_guard guard{mutex_};
    x = around_.time.now();
    changed_.notify_all();
  }

  bool await(moment& x) {
    std::unique_lock guard{mutex_};
    return changed_.wait_for(guard, patience, [&] { return x.has_value(); });
  }

  world around_;
  std::mutex mutex_; ///< For the two below.
  std::condition_variable changed_;
  moment joined_, warm_, lost_;
  const std::shared_ptr<std::vector<std::byte>> data_
    = std::make_shared<std::vector<std::byte>>(size_t{448} << 10);
  int num_answers_ = 0; ///< The transport's thread's own.
  std::unique_ptr<ucx_transport> net_;
};

/// Returns the exit status.
int run(const char* name, int num_kills) {
  std::vector<double> times;
  int num_missed = 0;
  for (int i = 0; i < num_kills; ++i) {
    // A new one each time: a killed sender may wedge shared memory.
    witness x;
    if (auto ok = x.open(); !ok) {
      std::fprintf(stderr, "%s\n", ok.why().message.c_str());
      return 1;
    }
    auto time = x.kill_one();
    if (time)
      times.push_back(*time);
    else
      ++num_missed;
  }
  std::ranges::sort(times);
  auto at = [&](size_t percent) {
    return times.empty() ? 0 : times[(times.size() - 1) * percent / 100];
  };
  std::printf("%-14s %3zu kills, ms: p50 %.2f p99 %.2f max %.2f, missed %d\n",
              name, times.size(), at(50), at(99), at(100), num_missed);
  return num_missed > 0;
}

} // namespace

} // namespace troupe

int main(int argc, char** argv) {
  std::string first = argc > 1 ? argv[1] : "100";
  if (argc == 3 && first == "victim")
    troupe::be_victim(uint16_t(std::atoi(argv[2])));
  if (argc == 3)
    return troupe::run(argv[1], std::atoi(argv[2]));
  // UCX reads its settings once a process: each kind has one of its own.
  int status = 0;
  for (auto kind : {"tcp", "shared memory"}) {
    int rc = 0;
    ::waitpid(troupe::spawn({argv[0], kind, first}), &rc, 0);
    status |= rc;
    ::setenv("UCX_TLS", "posix,tcp,self", 1);
    ::setenv("UCX_POSIX_ERROR_HANDLING", "y", 1);
    ::setenv("UCX_RNDV_SCHEME", "am", 1);
  }
  return status != 0;
}
