#pragma once

/// Memory of devices that compute on the host. There a buffer's offset is the
/// address itself, so that tests may look at what a device holds.

#include "kernels/device.hpp"

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <unordered_map>

namespace troupe::kernels::host {

/// Every allocation starts at a multiple of this many bytes.
constexpr uint64_t alignment = 64;

/// From here on claims are pages that come straight from the system: zero until
/// touched, large where possible, and a refusal is an answer instead of a
/// crash. Who claims much and touches little asks for less than this, and gets
/// small pages.
constexpr uint64_t usual_mapping_bytes = 2 << 20;

inline std::byte* address_of(const buffer& mem) {
  return reinterpret_cast<std::byte*>(mem.offset);
}

/// Returns element [r, 0]. T is the C++ type of `t.type`: float, uint16_t
/// (bf16), uint8_t (f8_e4m3) or int32_t, const or not.
template <class T>
T* row(const tensor& t, uint64_t r) {
  return reinterpret_cast<T*>(t.mem.offset + r * t.stride);
}

/// Claims and frees the memory of one device. Frees what is left at its end.
/// Safe to use from several threads.
class heap {
public:
  explicit heap(uint32_t device, uint64_t mapping_bytes = usual_mapping_bytes)
    : device_(device), mapping_bytes_(mapping_bytes) {
  }

  heap(const heap&) = delete;
  heap& operator=(const heap&) = delete;
  ~heap();

  /// Returns `bytes` zeroed bytes; nothing if there is too little. Zero bytes
  /// give an empty buffer.
  std::optional<buffer> allocate(uint64_t bytes);

  /// `mem` is what allocate returned, not a part of it.
  void free(const buffer& mem);

private:
  const uint32_t device_;
  const uint64_t mapping_bytes_;
  std::mutex mutex_;
  std::unordered_map<uint64_t, uint64_t> live_; ///< Address to bytes.
};

/// Claims zeroed memory of the host; null if there is too little.
host_ptr allocate_host(uint64_t bytes,
                       uint64_t mapping_bytes = usual_mapping_bytes);

} // namespace troupe::kernels::host
