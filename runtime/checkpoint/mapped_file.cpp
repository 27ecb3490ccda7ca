#include "runtime/checkpoint/mapped_file.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <functional>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace troupe {

namespace {

int64_t nanoseconds(const timespec& t) {
  return int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

/// When a page is touched, the system maps what lies around it too: as much as
/// a large page, and at multiples of that.
constexpr uintptr_t group_bytes = 2 << 20;

/// Whole groups of pages around `part`, within `all`, which begins a page.
std::span<std::byte> around(std::span<const std::byte> part,
                            std::span<const std::byte> all) {
  auto base = reinterpret_cast<uintptr_t>(all.data());
  auto first = reinterpret_cast<uintptr_t>(part.data());
  auto end = first + part.size() + group_bytes - 1;
  first = std::max(first / group_bytes * group_bytes, base);
  end = std::min(end / group_bytes * group_bytes, base + all.size());
  return {reinterpret_cast<std::byte*>(first), end - first};
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

bool mapped_file::holds(std::span<const std::byte> part) const {
  auto all = bytes();
  return std::greater_equal<>{}(part.data(), all.data())
         && std::less_equal<>{}(part.data() + part.size(),
                                all.data() + all.size());
}

// Advice: what the system makes of it changes no byte of a private mapping
// that nobody writes to.

void mapped_file::read_ahead(std::span<const std::byte> part) const {
  CHECK(holds(part));
  auto pages = around(part, bytes());
  if (!part.empty())
    ::madvise(pages.data(), pages.size(), MADV_WILLNEED);
}

void mapped_file::give_back(std::span<const std::byte> part) const {
  CHECK(holds(part));
  auto pages = around(part, bytes());
  if (!part.empty())
    ::madvise(pages.data(), pages.size(), MADV_DONTNEED);
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
