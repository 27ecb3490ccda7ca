#pragma once

/// How far long work has come, on standard error: a bar that is drawn over
/// itself on a terminal, a line for every quarter otherwise (for all of it if
/// there is little to load).

#include <cstdint>
#include <mutex>
#include <string>

namespace troupe {

class progress_display {
public:
  /// `who` stands in front, e.g. "solo". Lines are for those who share a
  /// terminal with others.
  progress_display(std::string who, bool only_lines);

  progress_display(const progress_display&) = delete;
  progress_display& operator=(const progress_display&) = delete;

  /// From any thread. 0 <= done <= total.
  void show(const std::string& what, uint64_t done, uint64_t total);

private:
  std::mutex mutex_;
  std::string who_;
  bool is_bar_;
  std::string what_;
  uint64_t shown_ = 0; ///< Per cent, or lines without a bar.
};

} // namespace troupe
