#pragma once

/// FNV-1a, 64 bits: tells contents apart, keeps nobody out.
/// [https://www.isthe.com/chongo/tech/comp/fnv]

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace troupe {

class fnv_hash {
public:
  void add(std::span<const std::byte> bytes) {
    for (auto b : bytes)
      value_ = (value_ ^ uint8_t(b)) * 0x100000001b3;
  }

  uint64_t value() const {
    return value_;
  }

private:
  uint64_t value_ = 0xcbf29ce484222325;
};

inline uint64_t fnv_1a(std::span<const std::byte> bytes) {
  fnv_hash out;
  out.add(bytes);
  return out.value();
}

inline uint64_t fnv_1a(std::string_view text) {
  return fnv_1a(std::as_bytes(std::span{text}));
}

} // namespace troupe
