#pragma once

/// Words between a process and its child, each way, whole and in order: one
/// end of a pair of sockets.

#include "runtime/error.hpp"

#include <optional>
#include <string>
#include <utility>

namespace troupe {

class fault_channel {
public:
  /// Both ends of a new one; neither is inherited by itself. Error: io.
  static result<std::pair<fault_channel, fault_channel>> make();

  /// An end that this process was born with. Error: invalid_input if `fd` is
  /// none.
  static result<fault_channel> adopt(int fd);

  fault_channel(fault_channel&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)) {
  }

  ~fault_channel();

  int fd() const {
    return fd_;
  }

  /// Without waiting. False: the other end is gone or takes nothing.
  bool say(const std::string& word) const;

  /// The next word, if there is one. Without waiting.
  std::optional<std::string> hear() const;

private:
  explicit fault_channel(int fd) : fd_(fd) {
  }

  int fd_;
};

} // namespace troupe
