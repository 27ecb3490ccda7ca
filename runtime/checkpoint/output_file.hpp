#pragma once

/// A file that is written from its beginning to its end, beside the one that
/// it replaces. The first failure is kept; what is written after it goes
/// nowhere.

#include "runtime/error.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace troupe {

/// Under its name stands what stood there before, or nothing, until `close`
/// has put the whole file there: whatever ends the writing before leaves no
/// trace. (Where the file system knows no nameless files, a process that is
/// killed leaves a hidden one.) A name that leads to a device or a pipe is
/// written to at once.
class output_file {
public:
  /// Whether it can be written tells `close`.
  explicit output_file(std::filesystem::path path);

  output_file(output_file&& other) noexcept;
  output_file& operator=(output_file&&) = delete;

  /// Drops what was written unless it was closed.
  ~output_file();

  void write(std::span<const std::byte> bytes);
  void write(std::string_view text);

  /// Zeros up to a multiple of `alignment`.
  void pad(uint64_t alignment);

  /// Bytes written so far.
  uint64_t size() const {
    return size_;
  }

  /// Error: io, once something could not be written.
  result<void> status() const;

  /// Puts the file under its name, with all bytes on the disk. Nothing is
  /// written after it. Error: io, as above.
  result<void> close();

private:
  void open();
  void open_beside();
  void flush();
  void put(std::span<const std::byte> bytes);
  void put_under_name();
  void note(bool ok);

  std::filesystem::path path_;   ///< As it was given, for messages.
  std::filesystem::path target_; ///< Where links lead to.
  std::filesystem::path beside_; ///< What has a name and is not whole.
  int fd_ = -1;
  bool is_direct_ = false; ///< A device or a pipe.
  std::string held_;       ///< Small writes, to be written together.
  uint64_t size_ = 0;
  int error_ = 0; ///< errno of the first failure.
};

/// Writes a whole file, replacing what is there. Error: io.
result<void> write_file(const std::filesystem::path& path,
                        std::string_view content);

} // namespace troupe
