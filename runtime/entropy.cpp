#include "runtime/entropy.hpp"

#include "kernels/check.hpp"

#include <sys/random.h>

#include <algorithm>
#include <cstring>

namespace troupe {

uint64_t entropy::draw() {
  std::byte bytes[8];
  fill(bytes);
  uint64_t x;
  std::memcpy(&x, bytes, 8);
  return x;
}

void system_entropy::fill(std::span<std::byte> bytes) {
  // Up to 256 bytes come whole and uninterrupted.
  while (!bytes.empty()) {
    auto part = bytes.first(std::min(bytes.size(), size_t{256}));
    CHECK(getrandom(part.data(), part.size(), 0) == ssize_t(part.size()));
    bytes = bytes.subspan(part.size());
  }
}

} // namespace troupe
