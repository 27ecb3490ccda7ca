#pragma once

/// How much memory a process may still take: what the machine has free and
/// what the control groups that it is in leave it, less what processes of this
/// program were promised and have not used. The system promises memory that
/// is not there, and so what is claimed at start is compared with this first.

#include "runtime/error.hpp"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace troupe {

class memory_room {
public:
  /// Reads the system's files below `root`. `overcommit`: whatever is asked
  /// for is there.
  explicit memory_room(bool overcommit = false,
                       std::filesystem::path root = "/");

  /// Bytes that may still be taken; nothing if the system does not say. Caches
  /// of files count as free, swap does not.
  std::optional<uint64_t> available() const;

  /// Error: out_of_memory, if `bytes` are more than there is; `what` needs
  /// them.
  result<void> check(const std::string& what, uint64_t bytes) const;

private:
  uint64_t promised() const;

  bool overcommit_;
  std::filesystem::path root_;
};

/// Returns bytes as people write them, e.g. "15.0 GB".
std::string bytes_text(uint64_t bytes);

/// Returns MemAvailable of a /proc/meminfo, in bytes.
std::optional<uint64_t> parse_available(std::string_view meminfo);

/// What a control group says of itself.
struct group_memory {
  std::string limit; ///< memory.max, or memory.limit_in_bytes.
  std::string usage; ///< memory.current, or memory.usage_in_bytes.
  std::string stat;  ///< memory.stat
};

/// Returns what a group leaves, in bytes; nothing if it sets no limit.
std::optional<uint64_t> room_of(const group_memory& x);

} // namespace troupe
