#pragma once

/// Open files by descriptor: who closes them, and what has to come whole.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

namespace troupe {

/// Owns one; -1: none.
class file_descriptor {
public:
  explicit file_descriptor(int fd = -1) : fd_(fd) {
  }

  file_descriptor(file_descriptor&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)) {
  }

  file_descriptor& operator=(file_descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }

  /// Leaves errno as it was.
  ~file_descriptor();

  int get() const {
    return fd_;
  }

  int release() {
    return std::exchange(fd_, -1);
  }

private:
  int fd_;
};

/// Programs that this process becomes or starts will not have it. Who opens a
/// descriptor without O_CLOEXEC calls this at once.
void close_on_exec(int fd);

/// Opens a regular file in a directory, never waiting for one that is none, and
/// not through a link. `flags` as of open(2). -1, and errno: it cannot.
file_descriptor open_at(int dir, const std::string& name, int flags);

/// Reads up to out.size() bytes at `offset` and returns how many there were;
/// where these are fewer, errno says why; 0: the file has no more.
size_t read_some(int fd, std::span<std::byte> out, uint64_t offset);

/// False, and errno: not all were written.
bool write_all(int fd, std::span<const std::byte> bytes, uint64_t offset);

} // namespace troupe
