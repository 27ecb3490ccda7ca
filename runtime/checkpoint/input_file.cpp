#include "runtime/checkpoint/input_file.hpp"

#include "runtime/checkpoint/regular_file.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace troupe {

namespace {

/// Below this, to announce what comes next costs more than it gains.
constexpr uint64_t min_announced_bytes = 1 << 20;

/// Of what is looked at while it is read: stays in a core's own cache.
constexpr size_t seen_bytes = 128 << 10;

int64_t to_ns(const timespec& x) {
  return int64_t{x.tv_sec} * 1'000'000'000 + x.tv_nsec;
}

failure io_failure(const std::filesystem::path& path, int error) {
  return {errc::io, path.string() + " cannot be read: " + std::strerror(error)};
}

} // namespace

/// An open file, and what it was known by then.
class input_file::descriptor {
public:
  static result<descriptor> open(const std::filesystem::path& path) {
    auto fd = open_regular_file(path);
    if (!fd)
      return fd.why();
    descriptor out{*fd};
    struct stat info {};
    if (::fstat(*fd, &info) != 0)
      return io_failure(path, errno);
    out.known_by = {uint64_t{info.st_dev}, uint64_t{info.st_ino},
                    static_cast<uint64_t>(info.st_size), to_ns(info.st_mtim)};
    out.touched_ns = to_ns(info.st_ctim);
    return out;
  }

  descriptor(descriptor&& other) noexcept
    : known_by(other.known_by), touched_ns(other.touched_ns),
      fd_(std::exchange(other.fd_, -1)) {
  }

  ~descriptor() {
    if (fd_ >= 0)
      ::close(fd_);
  }

  int get() const {
    return fd_;
  }

  stamp known_by;
  int64_t touched_ns = 0;

private:
  explicit descriptor(int fd) : fd_(fd) {
  }

  int fd_;
};

result<input_file> input_file::open(std::filesystem::path path) {
  auto file = descriptor::open(path);
  if (!file)
    return file.why();
  input_file out;
  out.path_ = std::move(path);
  out.stamp_ = file->known_by;
  out.touched_ns_ = file->touched_ns;
  return out;
}

result<void> input_file::read(uint64_t offset, std::span<std::byte> out,
                              const bytes_seen& seen) const {
  CHECK(offset <= size() && out.size() <= size() - offset);
  auto file = look_up();
  if (!file)
    return file.why();
  if (out.size() >= min_announced_bytes)
    ::posix_fadvise(file->get(), static_cast<off_t>(offset + out.size()),
                    static_cast<off_t>(out.size()), POSIX_FADV_WILLNEED);
  while (!out.empty()) {
    auto piece = seen ? out.first(std::min(out.size(), seen_bytes)) : out;
    if (auto ok = fill(*file, offset, piece); !ok)
      return ok;
    if (seen)
      seen(piece);
    offset += piece.size();
    out = out.subspan(piece.size());
  }
  return {};
}

result<void> input_file::fill(const descriptor& file, uint64_t offset,
                              std::span<std::byte> out) const {
  while (!out.empty()) {
    auto n = ::pread(file.get(), out.data(), out.size(),
                     static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return io_failure(path_, errno);
    if (n == 0)
      return changed();
    offset += static_cast<uint64_t>(n);
    out = out.subspan(static_cast<size_t>(n));
  }
  return {};
}

result<void> input_file::check_unchanged() const {
  auto file = look_up();
  return file ? result<void>{} : file.why();
}

result<input_file::descriptor> input_file::look_up() const {
  auto file = descriptor::open(path_);
  if (file && file->known_by != stamp_)
    return changed();
  return file;
}

failure input_file::changed() const {
  return {errc::io, path_.string() + " changed while it was read"};
}

} // namespace troupe
