#include "deploy/end_signals.hpp"

#include <signal.h>
#include <time.h>
#include <unistd.h>

namespace troupe {

namespace {

sigset_t ends() {
  sigset_t out;
  sigemptyset(&out);
  sigaddset(&out, SIGINT);
  sigaddset(&out, SIGTERM);
  return out;
}

sigset_t hangup() {
  sigset_t out;
  sigemptyset(&out);
  sigaddset(&out, SIGHUP);
  return out;
}

} // namespace

end_signals::end_signals() {
  auto set = ends();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

bool end_signals::wait_for(std::chrono::milliseconds duration) {
  came_ = came_ || wait_for_another(duration);
  return came_;
}

void end_signals::watch_hangup() {
  auto set = hangup();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

bool end_signals::take_hangup() {
  auto set = hangup();
  timespec now{};
  return sigtimedwait(&set, nullptr, &now) > 0;
}

bool end_signals::wait_for_another(std::chrono::milliseconds duration) {
  auto set = ends();
  timespec limit{duration.count() / 1000, duration.count() % 1000 * 1'000'000};
  return sigtimedwait(&set, nullptr, &limit) > 0;
}

void end_signals::wait() {
  while (!wait_for(std::chrono::hours{1}))
    continue;
}

void end_signals::pretend() {
  kill(getpid(), SIGTERM); // blocked everywhere, so it waits to be taken
}

} // namespace troupe
