#include "runtime/file_descriptor.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace troupe {

file_descriptor::~file_descriptor() {
  auto error = errno;
  if (fd_ >= 0)
    ::close(fd_);
  errno = error;
}

void close_on_exec(int fd) {
  ::fcntl(fd, F_SETFD, FD_CLOEXEC);
}

file_descriptor open_at(int dir, const std::string& name, int flags) {
  flags |= O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
  file_descriptor out{::openat(dir, name.c_str(), flags, 0600)};
  struct stat about {};
  if (out.get() < 0)
    return out;
  if (::fstat(out.get(), &about) == 0 && S_ISREG(about.st_mode))
    return out;
  errno = ELOOP; // as for a link
  return file_descriptor{-1};
}

size_t read_some(int fd, std::span<std::byte> out, uint64_t offset) {
  size_t done = 0;
  while (done < out.size()) {
    auto n = ::pread(fd, out.data() + done, out.size() - done,
                     static_cast<off_t>(offset + done));
    if (n == 0)
      errno = 0; // whatever a signal has left there
    if (n == 0 || (n < 0 && errno != EINTR))
      break;
    done += n > 0 ? static_cast<size_t>(n) : 0;
  }
  return done;
}

bool write_all(int fd, std::span<const std::byte> bytes, uint64_t offset) {
  while (!bytes.empty()) {
    auto n = ::pwrite(fd, bytes.data(), bytes.size(),
                      static_cast<off_t>(offset));
    if (n == 0)
      errno = ENOSPC;
    if (n == 0 || (n < 0 && errno != EINTR))
      return false;
    bytes = bytes.subspan(n > 0 ? static_cast<size_t>(n) : 0);
    offset += n > 0 ? static_cast<uint64_t>(n) : 0;
  }
  return true;
}

} // namespace troupe
