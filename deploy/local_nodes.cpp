#include "deploy/local_nodes.hpp"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>

namespace troupe {

namespace {

constexpr int num_polls = 500; // of 10 ms
constexpr timespec poll_interval{0, 10'000'000};

/// Between fork and exec: only what is allowed with other threads around.
[[noreturn]] void become(const char* program, char* const* args, pid_t parent) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  setpgid(0, 0); // the terminal's Ctrl-C is for the parent, which then asks
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() == parent) // else it has died before it could be noticed
    execv(program, args);
  _exit(127);
}

} // namespace

result<std::unique_ptr<local_nodes>>
local_nodes::start(const std::vector<std::vector<std::string>>& commands) {
  std::error_code error;
  auto self = std::filesystem::read_symlink("/proc/self/exe", error).string();
  if (error)
    return failure{errc::io, "the program cannot find itself to start nodes"};
  std::unique_ptr<local_nodes> out{new local_nodes};
  auto parent = getpid();
  for (auto command : commands) {
    std::vector<char*> args{self.data()};
    for (auto& arg : command)
      args.push_back(arg.data());
    args.push_back(nullptr);
    auto pid = fork();
    if (pid == 0)
      become(self.c_str(), args.data(), parent);
    if (pid < 0)
      return failure{errc::io, std::string{"a node process cannot start: "}
                                 + std::strerror(errno)};
    out->pids_.push_back(pid);
  }
  return out;
}

local_nodes::~local_nodes() {
  for (auto pid : pids_)
    if (pid != 0)
      kill(pid, SIGTERM);
  for (int i = 0; i < num_polls && !reap(); ++i)
    nanosleep(&poll_interval, nullptr);
  for (auto pid : pids_)
    if (pid != 0) {
      kill(pid, SIGKILL);
      waitpid(pid, nullptr, 0);
    }
}

size_t local_nodes::num_ended() {
  reap();
  return num_ended_;
}

bool local_nodes::reap() {
  for (auto& pid : pids_)
    if (pid != 0 && waitpid(pid, nullptr, WNOHANG) == pid) {
      pid = 0;
      ++num_ended_;
    }
  return num_ended_ == pids_.size();
}

} // namespace troupe
