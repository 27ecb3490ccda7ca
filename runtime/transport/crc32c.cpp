#include "runtime/transport/crc32c.hpp"

#include <array>
#include <cstring>

namespace troupe {

namespace {

constexpr uint32_t reflected_polynomial = 0x82f63b78;

constexpr std::array<uint32_t, 256> make_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    auto x = i;
    for (int bit = 0; bit < 8; ++bit)
      x = x & 1 ? x >> 1 ^ reflected_polynomial : x >> 1;
    table[i] = x;
  }
  return table;
}

constexpr auto table = make_table();

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) uint32_t
by_instruction(std::span<const std::byte> bytes, uint32_t crc) {
  uint64_t x = ~crc;
  auto p = bytes.data();
  auto n = bytes.size();
  for (; n >= 8; p += 8, n -= 8) {
    uint64_t word;
    std::memcpy(&word, p, 8);
    x = __builtin_ia32_crc32di(x, word);
  }
  for (; n > 0; ++p, --n)
    x = __builtin_ia32_crc32qi(uint32_t(x), uint8_t(*p));
  return ~uint32_t(x);
}
#endif

} // namespace

bool crc32c_has_instruction() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("sse4.2");
#else
  return false;
#endif
}

uint32_t crc32c_by_table(std::span<const std::byte> bytes, uint32_t crc) {
  auto x = ~crc;
  for (auto byte : bytes)
    x = table[(x ^ uint8_t(byte)) & 0xff] ^ x >> 8;
  return ~x;
}

uint32_t crc32c(std::span<const std::byte> bytes, uint32_t crc) {
#if defined(__x86_64__)
  if (crc32c_has_instruction())
    return by_instruction(bytes, crc);
#endif
  return crc32c_by_table(bytes, crc);
}

} // namespace troupe
