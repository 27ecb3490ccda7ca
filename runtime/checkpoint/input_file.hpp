#pragma once

/// A file that is read by places, for as long as nobody changes it.

#include "runtime/error.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>

namespace troupe {

/// Called with bytes of a file, one piece behind the other, while they are
/// still in the processor's cache.
using bytes_seen = std::function<void(std::span<const std::byte>)>;

/// A file as it was when it was opened. Nothing is mapped and nothing is kept
/// open: each call looks the file up again, so one that was cut off, written
/// to or replaced meanwhile is a failure of the call, and there may be as many
/// files as there are. Safe to use from several threads.
class input_file {
public:
  /// What a file is known by.
  struct stamp {
    uint64_t device = 0;
    uint64_t number = 0; ///< Of the file on its device.
    uint64_t size = 0;
    int64_t changed_ns = 0;

    friend bool operator==(const stamp&, const stamp&) = default;
  };

  /// Errors: not_found, io; also for what is no regular file.
  static result<input_file> open(std::filesystem::path path);

  const std::filesystem::path& path() const {
    return path_;
  }

  uint64_t size() const {
    return stamp_.size;
  }

  const stamp& known_by() const {
    return stamp_;
  }

  /// When anything of it changed last, be it only its rights, in ns since 1970:
  /// unlike the stamp's time nobody can set it.
  int64_t touched_ns() const {
    return touched_ns_;
  }

  /// Fills `out` with the bytes from `offset` on, all of which the file has,
  /// and says that as many behind them will be read soon. `seen` hears of them
  /// in pieces, all but the last of a whole number of KiB. Error: io, if they
  /// cannot be read or the file is not what it was.
  result<void> read(uint64_t offset, std::span<std::byte> out,
                    const bytes_seen& seen = {}) const;

  /// Error: io, if the file is another, or of another size or time of change.
  result<void> check_unchanged() const;

private:
  class descriptor;

  input_file() = default;
  result<descriptor> look_up() const;
  result<void> fill(const descriptor& file, uint64_t offset,
                    std::span<std::byte> out) const;
  failure changed() const;

  std::filesystem::path path_;
  stamp stamp_;
  int64_t touched_ns_ = 0;
};

} // namespace troupe
