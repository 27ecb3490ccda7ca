#include "runtime/checkpoint/regular_file.hpp"

#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace troupe {

namespace {

failure cannot_read(const std::filesystem::path& path, int error) {
  auto is_missing = error == ENOENT || error == ENOTDIR;
  return {is_missing ? errc::not_found : errc::io,
          path.string() + " cannot be read: " + std::strerror(error)};
}

/// Reads until `out` is full. Returns why not, or nothing.
result<void> fill(int fd, const std::filesystem::path& path, std::string& out) {
  for (size_t done = 0; done < out.size();) {
    auto n = ::read(fd, out.data() + done, out.size() - done);
    if (n > 0)
      done += static_cast<size_t>(n);
    else if (n == 0)
      return failure{errc::io, path.string() + " changed while it was read"};
    else if (errno != EINTR)
      return cannot_read(path, errno);
  }
  return {};
}

} // namespace

result<int> open_regular_file(const std::filesystem::path& path) {
  // Without O_NONBLOCK a FIFO waits here for somebody who writes to it.
  auto fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0 && errno != ENXIO)
    return cannot_read(path, errno);
  struct stat info {};
  if (fd >= 0 && ::fstat(fd, &info) == 0 && S_ISREG(info.st_mode))
    return fd;
  if (fd >= 0)
    ::close(fd);
  return failure{errc::io, path.string() + " is no regular file"};
}

result<std::string> read_regular_file(const std::filesystem::path& path,
                                      uint64_t max_bytes) {
  auto fd = open_regular_file(path);
  if (!fd)
    return fd.why();
  struct stat info {};
  auto known = ::fstat(*fd, &info) == 0;
  auto size = known ? static_cast<uint64_t>(info.st_size) : 0;
  std::string out;
  result<void> ok;
  if (!known)
    ok = cannot_read(path, errno);
  else if (size > max_bytes)
    ok = failure{errc::invalid_input, path.string() + " has more than "
                                        + std::to_string(max_bytes) + " bytes"};
  else
    out.resize(size);
  if (ok)
    ok = fill(*fd, path, out);
  ::close(*fd);
  if (!ok)
    return ok.why();
  return out;
}

} // namespace troupe
