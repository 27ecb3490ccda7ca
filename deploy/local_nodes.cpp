#include "deploy/local_nodes.hpp"

#include "kernels/check.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <utility>

namespace troupe {

namespace {

constexpr int num_polls = 500; // of 10 ms
constexpr timespec poll_interval{0, 10'000'000};

/// Between fork and exec: only what is allowed with other threads around.
[[noreturn]] void become(const char* program, char* const* args, pid_t parent,
                         int inherited) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  setpgid(0, 0); // the terminal's Ctrl-C is for the parent, which then asks
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (inherited >= 0)
    fcntl(inherited, F_SETFD, 0);
  if (getppid() == parent) // else it has died before it could be noticed
    execv(program, args);
  _exit(127);
}

/// The value of --name.
std::string name_in(const std::vector<std::string>& command) {
  auto flag = std::ranges::find(command, "--name");
  return command.end() - flag < 2 ? "" : *(flag + 1);
}

std::string end_of(const std::string& name, pid_t pid, int status) {
  auto how = WIFSIGNALED(status)
               ? "was ended by signal " + std::to_string(WTERMSIG(status))
               : "has ended with status " + std::to_string(WEXITSTATUS(status));
  return "the process of node " + name + " (" + std::to_string(pid) + ") "
         + how;
}

} // namespace

result<std::unique_ptr<local_nodes>>
local_nodes::start(const std::vector<std::vector<std::string>>& commands,
                   const std::vector<int>& inherited) {
  CHECK(inherited.empty() || inherited.size() == commands.size());
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
      become(self.c_str(), args.data(), parent,
             inherited.empty() ? -1 : inherited[out->pids_.size()]);
    if (pid < 0)
      return failure{errc::io, std::string{"a node process cannot start: "}
                                 + std::strerror(errno)};
    out->pids_.push_back(pid);
    out->names_.push_back(name_in(command));
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

bool local_nodes::send_signal(size_t i, int which) {
  reap(); // its number is nobody else's until then
  return pids_.at(i) != 0 && kill(pids_[i], which) == 0;
}

std::optional<char> local_nodes::state_of(size_t i) {
  reap();
  if (pids_.at(i) == 0)
    return std::nullopt;
  std::ifstream in{"/proc/" + std::to_string(pids_[i]) + "/stat"};
  std::string line;
  std::getline(in, line);
  auto name_ends = line.rfind(") "); // the name may hold anything
  if (name_ends == line.npos || name_ends + 2 >= line.size())
    return std::nullopt;
  return line[name_ends + 2];
}

std::vector<std::string> local_nodes::take_ends() {
  reap();
  return std::exchange(ends_, {});
}

bool local_nodes::reap() {
  for (size_t i = 0; i < pids_.size(); ++i) {
    int status = 0;
    if (pids_[i] == 0 || waitpid(pids_[i], &status, WNOHANG) != pids_[i])
      continue;
    ends_.push_back(end_of(names_[i], pids_[i], status));
    pids_[i] = 0;
    ++num_ended_;
  }
  return num_ended_ == pids_.size();
}

} // namespace troupe
