#pragma once

/// FNV-1a over bytes: many numbers told as one.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace troupe {

inline uint64_t fnv_1a(std::span<const std::byte> bytes) {
  uint64_t h = 0xcbf29ce484222325;
  for (auto x : bytes)
    h = (h ^ static_cast<uint64_t>(x)) * 0x100000001b3;
  return h;
}

inline uint64_t fnv_1a(std::string_view text) {
  return fnv_1a(std::as_bytes(std::span{text}));
}

} // namespace troupe
