#pragma once

/// How much memory this process takes, as Linux counts it.

#include <cstdint>
#include <fstream>
#include <string>

namespace troupe {

/// A line of the process's status, in bytes; 0 where the system has none.
inline uint64_t status_bytes(const std::string& name) {
  std::ifstream status{"/proc/self/status"};
  for (std::string word; status >> word;)
    if (word == name + ":") {
      uint64_t kib = 0;
      status >> kib;
      return kib * 1024;
    }
  return 0;
}

/// Resident now, pages of files included.
inline uint64_t resident_bytes() {
  return status_bytes("VmRSS");
}

/// The most that ever was.
inline uint64_t peak_resident_bytes() {
  return status_bytes("VmHWM");
}

} // namespace troupe
