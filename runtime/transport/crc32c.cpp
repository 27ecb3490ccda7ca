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
using shift_table = std::array<std::array<uint32_t, 256>, 4>;

/// What `num_bytes` bytes of zeros make of the register, byte by byte of it:
/// the sum of what they make of its bits.
constexpr shift_table make_shift(size_t num_bytes) {
  shift_table out{};
  for (uint32_t bit = 0; bit < 32; ++bit) {
    auto x = uint32_t{1} << bit;
    for (size_t i = 0; i < num_bytes; ++i)
      x = table[x & 0xff] ^ x >> 8;
    for (uint32_t byte = 0; byte < 256; ++byte)
      if (byte >> bit % 8 & 1)
        out[bit / 8][byte] ^= x;
  }
  return out;
}

template <size_t NumBytes>
constexpr auto shift_of = make_shift(NumBytes);

template <size_t NumBytes>
uint32_t shift(uint64_t x) {
  auto& of = shift_of<NumBytes>;
  return of[0][x & 0xff] ^ of[1][x >> 8 & 0xff] ^ of[2][x >> 16 & 0xff]
         ^ of[3][x >> 24 & 0xff];
}

__attribute__((target("sse4.2"))) inline uint64_t step(uint64_t x,
                                                       const std::byte* p) {
  uint64_t word;
  std::memcpy(&word, p, sizeof word);
  return __builtin_ia32_crc32di(x, word);
}

/// The instruction takes three cycles, and one may begin in each: three parts
/// of `Part` bytes go side by side, and are joined then.
template <size_t Part>
__attribute__((target("sse4.2"))) uint64_t
side_by_side(std::span<const std::byte>& bytes, uint64_t x) {
  for (; bytes.size() >= 3 * Part; bytes = bytes.subspan(3 * Part)) {
    auto p = bytes.data();
    uint64_t second = 0, third = 0;
    for (size_t i = 0; i < Part; i += 8) {
      x = step(x, p + i);
      second = step(second, p + Part + i);
      third = step(third, p + 2 * Part + i);
    }
    x = shift<Part>(shift<Part>(x) ^ second) ^ third;
  }
  return x;
}

__attribute__((target("sse4.2"))) uint32_t
by_instruction(std::span<const std::byte> bytes, uint32_t crc) {
  auto x = side_by_side<64>(bytes, side_by_side<512>(bytes, uint32_t(~crc)));
  auto p = bytes.data();
  auto n = bytes.size();
  for (; n >= 8; p += 8, n -= 8)
    x = step(x, p);
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
