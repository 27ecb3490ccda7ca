#pragma once

/// Words between a process and its child, each way, whole and in order: one
/// end of a pair of sockets.

#include "runtime/error.hpp"

#include <chrono>
#include <optional>
#include <string>
#include <utility>

namespace troupe {

class word_channel {
public:
  /// Both ends of a new one; neither is inherited by itself. Error: io.
  static result<std::pair<word_channel, word_channel>> make();

  /// An end that this process was born with. Error: invalid_input if `fd` is
  /// none.
  static result<word_channel> adopt(int fd);

  word_channel(word_channel&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)) {
  }

  ~word_channel();

  int fd() const {
    return fd_;
  }

  static constexpr size_t max_word = 4096; ///< Bytes; what is more is cut.

  /// Without waiting. False: the other end is gone or takes nothing.
  bool say(const std::string& word) const;

  /// The next word, if there is one. Without waiting.
  std::optional<std::string> hear() const;

  /// The next word, if one comes within `limit`.
  std::optional<std::string> await(std::chrono::milliseconds limit) const;

private:
  explicit word_channel(int fd) : fd_(fd) {
  }

  int fd_;
};

} // namespace troupe
