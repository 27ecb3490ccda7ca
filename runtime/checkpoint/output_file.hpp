#pragma once

/// A file that is written from its beginning to its end. The first failure is
/// kept; what is written after it goes nowhere.

#include "runtime/error.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <span>
#include <string_view>

namespace troupe {

class output_file {
public:
  /// Replaces what is there. Whether it can be opened tells `close`.
  explicit output_file(std::filesystem::path path);

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

  /// Nothing is written after it. Error: io, as above.
  result<void> close();

private:
  void note_failure();

  std::filesystem::path path_;
  std::ofstream out_;
  uint64_t size_ = 0;
  int error_ = 0; ///< errno of the first failure.
};

/// Writes a whole file, replacing what is there. Error: io.
result<void> write_file(const std::filesystem::path& path,
                        std::string_view content);

} // namespace troupe
