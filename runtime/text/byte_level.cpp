#include "runtime/text/byte_level.hpp"

#include <array>
#include <cstdint>

namespace troupe {

namespace {

// All of the alphabet is below this, so two bytes of UTF-8 are enough.
constexpr uint32_t end_of_alphabet = 0x100 + 68;

constexpr bool stands_for_itself(uint32_t byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC)
         || (byte >= 0xAE && byte <= 0xFF);
}

constexpr auto characters = [] {
  std::array<uint16_t, 256> table{};
  uint16_t next = 0x100;
  for (uint32_t byte = 0; byte < 256; ++byte)
    table[byte] = stands_for_itself(byte) ? static_cast<uint16_t>(byte)
                                          : next++;
  return table;
}();

constexpr auto bytes_of_characters = [] {
  std::array<int16_t, end_of_alphabet> table{};
  table.fill(-1);
  for (int16_t byte = 0; byte < 256; ++byte)
    table[characters[static_cast<size_t>(byte)]] = byte;
  return table;
}();

} // namespace

std::string to_byte_alphabet(std::string_view bytes) {
  std::string text;
  for (char c : bytes) {
    auto character = characters[static_cast<unsigned char>(c)];
    if (character < 0x80) {
      text += static_cast<char>(character);
    } else {
      text += static_cast<char>(0xC0 | character >> 6);
      text += static_cast<char>(0x80 | (character & 0x3F));
    }
  }
  return text;
}

std::optional<std::string> from_byte_alphabet(std::string_view text) {
  std::string bytes;
  for (size_t i = 0; i < text.size(); ++i) {
    uint32_t character = static_cast<unsigned char>(text[i]);
    if (character >= 0x80) {
      if (character < 0xC2 || character > 0xDF || i + 1 == text.size())
        return std::nullopt;
      auto low = static_cast<unsigned char>(text[++i]);
      if ((low & 0xC0) != 0x80)
        return std::nullopt;
      character = (character & 0x1F) << 6 | (low & 0x3F);
    }
    if (character >= end_of_alphabet || bytes_of_characters[character] < 0)
      return std::nullopt;
    bytes += static_cast<char>(bytes_of_characters[character]);
  }
  return bytes;
}

} // namespace troupe
