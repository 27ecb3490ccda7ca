#pragma once

/// Files of a store by descriptor.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

namespace troupe {

/// Owns one; -1: none.
class kv_descriptor {
public:
  explicit kv_descriptor(int fd) : fd_(fd) {
  }

  kv_descriptor(kv_descriptor&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)) {
  }

  kv_descriptor& operator=(kv_descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }

  /// Leaves errno as it was.
  ~kv_descriptor();

  int get() const {
    return fd_;
  }

  int release() {
    return std::exchange(fd_, -1);
  }

private:
  int fd_;
};

/// Opens a regular file in a directory, never waiting for one that is none, and
/// not through a link. `flags` as of open(2). -1, and errno: it cannot.
kv_descriptor open_at(int dir, const std::string& name, int flags);

/// Reads up to out.size() bytes at `offset` and returns how many there were;
/// errno says if it ended for another reason than the file's end.
size_t read_some(int fd, std::span<std::byte> out, uint64_t offset);

/// False, and errno: not all were written.
bool write_all(int fd, std::span<const std::byte> bytes, uint64_t offset);

} // namespace troupe
