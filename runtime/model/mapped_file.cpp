#include "runtime/model/safetensors.hpp"

#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace troupe {

namespace {

int64_t nanoseconds(const timespec& t) {
  return int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

failure io_failure(const std::filesystem::path& path, int error) {
  auto code = error == ENOENT ? errc::not_found : errc::io;
  return {code, path.string() + " cannot be read: " + std::strerror(error)};
}

} // namespace

result<std::unique_ptr<mapped_file>>
mapped_file::open(const std::filesystem::path& path) {
  auto fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return io_failure(path, errno);
  struct stat info {};
  if (::fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    ::close(fd);
    return failure{errc::io, path.string() + " is no regular file"};
  }
  std::unique_ptr<mapped_file> out{new mapped_file};
  out->path_ = path;
  out->size_ = static_cast<size_t>(info.st_size);
  out->changed_ns_ = nanoseconds(info.st_mtim);
  if (out->size_ > 0) {
    auto data = ::mmap(nullptr, out->size_, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED) {
      auto error = errno;
      ::close(fd);
      return io_failure(path, error);
    }
    out->data_ = data;
  }
  ::close(fd);
  return out;
}

mapped_file::~mapped_file() {
  if (data_)
    ::munmap(data_, size_);
}

result<void> mapped_file::check_unchanged() const {
  struct stat info {};
  if (::stat(path_.c_str(), &info) != 0)
    return io_failure(path_, errno);
  if (static_cast<size_t>(info.st_size) != size_
      || nanoseconds(info.st_mtim) != changed_ns_)
    return failure{errc::io, path_.string() + " changed while it was read"};
  return {};
}

} // namespace troupe
