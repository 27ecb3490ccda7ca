#include "deploy/local_nodes.hpp"

#include "kernels/check.hpp"

#include <fcntl.h>
#include <linux/close_range.h>
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

constexpr std::chrono::milliseconds poll_interval{10};

/// Between fork and exec: only what is allowed with other threads around.
[[noreturn]] void become(const char* program, char* const* args,
                         char* const* variables, pid_t parent, int inherited) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  setpgid(0, 0); // the terminal's Ctrl-C is for the parent, which then asks
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  // What others are just opening may have no mark of its own yet.
  close_range(STDERR_FILENO + 1, ~0u, CLOSE_RANGE_CLOEXEC);
  if (inherited >= 0)
    fcntl(inherited, F_SETFD, 0);
  if (getppid() == parent) // else it has died before it could be noticed
    execve(program, args, variables);
  _exit(127);
}

/// Without settings: these are of this process's flags, and what is meant for
/// the children, too, stands in their commands.
std::vector<char*> variables_of_children() {
  std::vector<char*> out;
  for (auto** x = environ; *x; ++x)
    if (!std::string_view{*x}.starts_with("TROUPE_"))
      out.push_back(*x);
  out.push_back(nullptr);
  return out;
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
                   const std::vector<int>& inherited,
                   std::chrono::seconds patience) {
  CHECK(inherited.empty() || inherited.size() == commands.size());
  std::error_code error;
  auto self = std::filesystem::read_symlink("/proc/self/exe", error).string();
  if (error)
    return failure{errc::io, "the program cannot find itself to start nodes"};
  std::unique_ptr<local_nodes> out{new local_nodes};
  out->program_ = std::move(self);
  out->patience_ = patience;
  for (size_t i = 0; i < commands.size(); ++i) {
    auto& x = out->children_.emplace_back();
    x.name = name_in(commands[i]);
    x.command = commands[i];
    x.inherited = inherited.empty() ? -1 : inherited[i];
    if (auto begun = out->begin(x); !begun)
      return begun.why();
  }
  return out;
}

result<void> local_nodes::begin(child& x) {
  auto command = x.command;
  std::vector<char*> args{program_.data()};
  for (auto& arg : command)
    args.push_back(arg.data());
  args.push_back(nullptr);
  auto variables = variables_of_children();
  auto parent = getpid();
  auto pid = fork();
  if (pid == 0)
    become(program_.c_str(), args.data(), variables.data(), parent,
           x.inherited);
  if (pid < 0)
    return failure{errc::io, std::string{"a node process cannot start: "}
                               + std::strerror(errno)};
  x.pid = pid;
  return {};
}

local_nodes::~local_nodes() {
  for (auto& x : children_)
    if (x.pid != 0)
      kill(x.pid, SIGTERM);
  const timespec pause{0, std::chrono::nanoseconds{poll_interval}.count()};
  for (auto left = patience_ / poll_interval; left > 0 && !reap(); --left)
    nanosleep(&pause, nullptr);
  for (auto& x : children_)
    if (x.pid != 0) {
      kill(x.pid, SIGKILL);
      waitpid(x.pid, nullptr, 0);
    }
}

size_t local_nodes::num_ended() {
  reap();
  return num_ended_;
}

bool local_nodes::send_signal(size_t i, int which) {
  reap(); // its number is nobody else's until then
  auto pid = children_.at(i).pid;
  return pid != 0 && kill(pid, which) == 0;
}

std::optional<char> local_nodes::state_of(size_t i) {
  reap();
  auto pid = children_.at(i).pid;
  if (pid == 0)
    return std::nullopt;
  std::ifstream in{"/proc/" + std::to_string(pid) + "/stat"};
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

std::vector<std::string> local_nodes::tend(const restart_brake::limits& limits,
                                           clock::instant now,
                                           const told_fn& was_told) {
  auto out = take_ends();
  for (auto& x : children_) {
    auto is_new = std::exchange(x.is_new_end, false);
    auto is_due = x.due && now >= *x.due;
    if ((is_new || is_due) && was_told(x.name)) { // a moment later it is known
      x.due.reset();
      out.push_back("node " + x.name
                    + " was told to end, and is not started again");
      continue;
    }
    if (is_new)
      out.push_back(decide(x, limits, now));
    if (!is_due)
      continue;
    x.due.reset();
    if (auto begun = begin(x); !begun) {
      out.push_back(begun.why().message);
      x.is_new_end = true;
    }
  }
  return out;
}

std::string local_nodes::decide(child& x, const restart_brake::limits& limits,
                                clock::instant now) {
  if (!x.brake)
    x.brake.emplace(limits);
  auto wait = x.brake->ended(now);
  if (!wait)
    return "node " + x.name + " is not started again: --restart-limit is 0";
  x.due = now + *wait;
  auto why = *wait > limits.longest_wait
               ? ": it has ended more than " + std::to_string(limits.most)
                   + " times within " + std::to_string(limits.period.count())
                   + " s"
               : std::string{};
  return "node " + x.name + " is started again in "
         + std::to_string(wait->count()) + " ms" + why;
}

bool local_nodes::reap() {
  auto have_all = true;
  for (auto& x : children_) {
    int status = 0;
    if (x.pid != 0 && waitpid(x.pid, &status, WNOHANG) == x.pid) {
      ends_.push_back(end_of(x.name, x.pid, status));
      x.pid = 0;
      x.is_new_end = true;
      ++num_ended_;
    }
    have_all = have_all && x.pid == 0;
  }
  return have_all;
}

} // namespace troupe
