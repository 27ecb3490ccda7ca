#pragma once

/// A file in memory, for as long as nobody changes it.

#include "runtime/error.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>

namespace troupe {

/// A file mapped into memory, read-only. It must not change while it is open:
/// `check_unchanged` tells afterwards whether it did.
class mapped_file {
public:
  static result<std::unique_ptr<mapped_file>>
  open(const std::filesystem::path& path);

  ~mapped_file();
  mapped_file(const mapped_file&) = delete;
  mapped_file& operator=(const mapped_file&) = delete;

  std::span<const std::byte> bytes() const {
    return {static_cast<const std::byte*>(data_), size_};
  }

  /// Error: io, if the file's size or time of change is another.
  result<void> check_unchanged() const;

  /// Returns whether `part` lies in the file.
  bool holds(std::span<const std::byte> part) const;

  /// Says that `part` will be read soon.
  void read_ahead(std::span<const std::byte> part) const;

  /// Lets go of the memory that `part` takes and of some around it. What is
  /// read again comes from the file again.
  void give_back(std::span<const std::byte> part) const;

private:
  mapped_file() = default;

  std::filesystem::path path_;
  void* data_ = nullptr;
  size_t size_ = 0;
  int64_t changed_ns_ = 0;
};

} // namespace troupe
