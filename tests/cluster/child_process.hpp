#pragma once

/// A process of the `troupe` binary that a test starts, stops and kills. None
/// outlives the object.

#include "runtime/clock.hpp"
#include "tests/places.hpp"

#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <string>
#include <thread>
#include <utility>
#include <vector>

extern char** environ;

namespace troupe {

/// Whether it is so within a minute.
template <class F>
bool comes_true(F condition) {
  system_clock time;
  auto end = time.now() + std::chrono::minutes{1};
  while (!condition()) {
    if (time.now() > end)
      return false;
    std::this_thread::sleep_for(std::chrono::milliseconds{20});
  }
  return true;
}

class child_process {
public:
  explicit child_process(std::vector<std::string> args) {
    auto binary = (binary_dir() / "deploy/troupe").string();
    std::vector<char*> argv{binary.data()};
    for (auto& arg : args)
      argv.push_back(arg.data());
    argv.push_back(nullptr);
    if (posix_spawn(&pid_, binary.c_str(), nullptr, nullptr, argv.data(),
                    environ)
        != 0)
      pid_ = 0;
  }

  child_process(child_process&& other) noexcept
    : pid_(std::exchange(other.pid_, 0)) {
  }

  /// The process that was here ends.
  child_process& operator=(child_process&& other) noexcept {
    end();
    pid_ = std::exchange(other.pid_, 0);
    return *this;
  }

  ~child_process() {
    end();
  }

  void kill(int signal) {
    ::kill(pid_, signal);
  }

  /// Waits for the end; returns the exit status, 128 + signal, or -1 if the
  /// process still runs after `deadline`.
  int wait(std::chrono::seconds deadline) {
    system_clock time;
    auto end = time.now() + deadline;
    for (int status = 0; time.now() < end;) {
      if (waitpid(pid_, &status, WNOHANG) == pid_) {
        pid_ = 0;
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
      }
      std::this_thread::sleep_for(std::chrono::milliseconds{10});
    }
    return -1;
  }

private:
  void end() {
    if (pid_ == 0)
      return;
    kill(SIGCONT);
    kill(SIGKILL);
    waitpid(pid_, nullptr, 0);
  }

  pid_t pid_ = 0;
};

} // namespace troupe
