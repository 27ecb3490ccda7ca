#include "runtime/checkpoint/output_file.hpp"

#include <cerrno>
#include <cstring>

namespace troupe {

output_file::output_file(std::filesystem::path path) : path_(std::move(path)) {
  errno = 0;
  out_.open(path_, std::ios::binary | std::ios::trunc);
  note_failure();
}

void output_file::write(std::span<const std::byte> bytes) {
  errno = 0;
  out_.write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
  size_ += bytes.size();
  note_failure();
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
  errno = 0;
  out_.close();
  note_failure();
  return status();
}

void output_file::note_failure() {
  if (!out_ && error_ == 0)
    error_ = errno == 0 ? EIO : errno;
}

result<void> write_file(const std::filesystem::path& path,
                        std::string_view content) {
  output_file out{path};
  out.write(content);
  return out.close();
}

} // namespace troupe
