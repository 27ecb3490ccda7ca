#include "runtime/checkpoint/output_file.hpp"

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace troupe {

namespace {

constexpr size_t held_bytes = 64 << 10;
constexpr auto own_files = "/proc/self/fd";
constexpr mode_t usual_mode = 0666; // less what the user's mask takes away

/// Where a file is, however its name leads there. What is not there yet is
/// where it is to be: also at the end of a link that leads to nothing.
std::filesystem::path where(const std::filesystem::path& path) {
  constexpr int max_links = 40; // as the system has it
  std::error_code error;
  auto out = path;
  for (int i = 0; i < max_links && std::filesystem::is_symlink(out, error);
       ++i) {
    auto target = std::filesystem::read_symlink(out, error);
    out = target.is_absolute() ? target : out.parent_path() / target;
  }
  auto found = std::filesystem::canonical(out, error);
  return error ? out : found;
}

std::filesystem::path directory_of(const std::filesystem::path& file) {
  auto out = file.parent_path();
  return out.empty() ? "." : out;
}

/// A hidden name in the same directory that nobody else takes.
std::filesystem::path name_beside(const std::filesystem::path& file) {
  static std::atomic<uint64_t> count{0};
  auto name = "." + file.filename().string().substr(0, 200) + "."
              + std::to_string(::getpid()) + "-" + std::to_string(++count)
              + ".part";
  return directory_of(file) / name;
}

} // namespace

output_file::output_file(std::filesystem::path path)
  : path_(std::move(path)), target_(where(path_)) {
  open();
}

output_file::output_file(output_file&& other) noexcept
  : path_(std::move(other.path_)), target_(std::move(other.target_)),
    beside_(std::exchange(other.beside_, {})),
    fd_(std::exchange(other.fd_, -1)), is_direct_(other.is_direct_),
    held_(std::move(other.held_)), size_(other.size_), error_(other.error_) {
}

output_file::~output_file() {
  if (fd_ >= 0)
    ::close(fd_);
  if (!beside_.empty())
    ::unlink(beside_.c_str());
}

void output_file::open() {
  struct stat info {};
  auto is_there = ::stat(target_.c_str(), &info) == 0;
  if (is_there && S_ISDIR(info.st_mode)) {
    error_ = EISDIR;
    return;
  }
  is_direct_ = is_there && !S_ISREG(info.st_mode);
  if (is_direct_) {
    fd_ = ::open(target_.c_str(), O_WRONLY | O_CLOEXEC);
    note(fd_ >= 0);
    return;
  }
  // What must not be written to is not replaced either.
  if (is_there && ::access(target_.c_str(), W_OK) != 0) {
    error_ = errno;
    return;
  }
  open_beside();
  if (is_there && fd_ >= 0)
    note(::fchmod(fd_, info.st_mode & 07777) == 0);
}

void output_file::open_beside() {
  // A name is given through /proc.
  if (::access(own_files, X_OK) == 0)
    fd_ = ::open(directory_of(target_).c_str(),
                 O_TMPFILE | O_WRONLY | O_CLOEXEC, usual_mode);
  if (fd_ >= 0)
    return;
  // Not every file system knows files without a name.
  auto name = name_beside(target_);
  fd_ = ::open(name.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC,
               usual_mode);
  note(fd_ >= 0);
  if (fd_ >= 0)
    beside_ = std::move(name);
}

void output_file::write(std::span<const std::byte> bytes) {
  size_ += bytes.size();
  if (held_.size() + bytes.size() > held_bytes)
    flush();
  if (bytes.size() > held_bytes)
    put(bytes);
  else
    held_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

void output_file::write(std::string_view text) {
  write(std::as_bytes(std::span{text}));
}

void output_file::pad(uint64_t alignment) {
  while (size_ % alignment != 0)
    write(std::string_view{"\0", 1});
}

result<void> output_file::status() const {
  if (error_ == 0)
    return {};
  return failure{errc::io, path_.string()
                             + " cannot be written: " + std::strerror(error_)};
}

result<void> output_file::close() {
  flush();
  if (error_ == 0 && !is_direct_)
    put_under_name();
  if (fd_ >= 0)
    note(::close(std::exchange(fd_, -1)) == 0);
  return status();
}

void output_file::put_under_name() {
  note(::fsync(fd_) == 0);
  if (error_ == 0 && beside_.empty()) {
    auto name = name_beside(target_);
    auto self = std::string{own_files} + "/" + std::to_string(fd_);
    note(::linkat(AT_FDCWD, self.c_str(), AT_FDCWD, name.c_str(),
                  AT_SYMLINK_FOLLOW)
         == 0);
    if (error_ == 0)
      beside_ = std::move(name);
  }
  if (error_ != 0)
    return;
  note(::rename(beside_.c_str(), target_.c_str()) == 0);
  if (error_ == 0)
    beside_.clear();
}

void output_file::flush() {
  put(std::as_bytes(std::span{held_}));
  held_.clear();
}

void output_file::put(std::span<const std::byte> bytes) {
  while (error_ == 0 && !bytes.empty()) {
    auto n = ::write(fd_, bytes.data(), bytes.size());
    if (n >= 0)
      bytes = bytes.subspan(static_cast<size_t>(n));
    else
      note(errno == EINTR);
  }
}

void output_file::note(bool ok) {
  if (!ok && error_ == 0)
    error_ = errno == 0 ? EIO : errno;
}

result<void> write_file(const std::filesystem::path& path,
                        std::string_view content) {
  output_file out{path};
  out.write(content);
  return out.close();
}

} // namespace troupe
