#include "deploy/progress.hpp"

#include <unistd.h>

#include <cstdio>

namespace troupe {

/// Bytes that load in a moment: a single line.
constexpr uint64_t small = 256 << 20;

progress_display::progress_display(std::string who, bool only_lines)
  : who_(std::move(who)), is_bar_(!only_lines && isatty(STDERR_FILENO) == 1) {
}

void progress_display::show(const std::string& what, uint64_t done,
                            uint64_t total) {
  std::lock_guard guard{mutex_};
  auto per_cent = total == 0 ? 100 : done * 100 / total;
  uint64_t steps = total < small ? 1 : 4;
  auto now = is_bar_ ? per_cent : per_cent * steps / 100;
  if (what == what_ && now == shown_)
    return;
  auto first = what != what_;
  what_ = what;
  shown_ = now;
  if (!is_bar_) {
    if (!first || now > 0)
      std::fprintf(stderr, "%s: %s: %d %%\n", who_.c_str(), what.c_str(),
                   int(now * 100 / steps));
    return;
  }
  std::string bar(40, '.');
  bar.replace(0, per_cent * 40 / 100, per_cent * 40 / 100, '#');
  std::fprintf(stderr, "\r%s: %s [%s] %3d %%%s", who_.c_str(), what.c_str(),
               bar.c_str(), int(per_cent), per_cent == 100 ? "\n" : "");
  std::fflush(stderr);
}

} // namespace troupe
