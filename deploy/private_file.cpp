#include "deploy/private_file.hpp"

#include "runtime/file_descriptor.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace troupe {

namespace {

result<void> check_private(const std::string& path, const struct stat& about) {
  if (!S_ISREG(about.st_mode))
    return failure{errc::invalid_input, path + " is no regular file"};
  bool handed_over = about.st_uid == 0 && ::geteuid() != 0;
  auto others = static_cast<mode_t>(handed_over ? 037 : 077);
  if ((about.st_mode & others) != 0)
    return failure{errc::invalid_input,
                   path
                     + " holds a secret and is open to others; chmod 600 "
                       "would close it"};
  return {};
}

failure no_file(const std::string& path) {
  return {errc::io, path + ": cannot be read: " + std::strerror(errno)};
}

} // namespace

result<std::string> read_private_file(const std::string& path,
                                      size_t max_bytes) {
  // Without O_NONBLOCK a FIFO would make us wait for its writer.
  file_descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  struct stat about = {};
  if (file.get() < 0 || ::fstat(file.get(), &about) != 0)
    return no_file(path);
  if (auto ok = check_private(path, about); !ok)
    return ok.why();
  std::string text(max_bytes + 1, '\0');
  size_t size = 0;
  while (size < text.size()) {
    auto n = ::read(file.get(), text.data() + size, text.size() - size);
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return no_file(path);
    if (n == 0)
      break;
    size += static_cast<size_t>(n);
  }
  if (size > max_bytes)
    return failure{errc::invalid_input, path + " has more than "
                                          + std::to_string(max_bytes)
                                          + " bytes"};
  text.resize(size);
  return text;
}

} // namespace troupe
