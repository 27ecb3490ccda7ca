#pragma once

/// Bytes that claim to be UTF-8. What is not becomes U+FFFD, one for each
/// maximal part of a character [Unicode, table 3-8], wherever text enters or
/// leaves: prompts may hold anything, and so may what a model says.

#include <cstdint>
#include <string>
#include <string_view>

namespace troupe {

/// U+FFFD.
inline constexpr std::string_view replacement_character = "\xEF\xBF\xBD";

/// Repairs a stream of bytes that may be cut anywhere. Cheap to copy.
class utf8_repair {
public:
  /// Appends to `out` everything that is certain after `bytes`; at most three
  /// bytes, the beginning of a character, are kept back.
  void feed(std::string_view bytes, std::string& out);

  /// Appends U+FFFD for a character that stayed unfinished.
  void finish(std::string& out);

  /// Whether the beginning of a character is kept back.
  bool pending() const {
    return size_ > 0;
  }

private:
  void begin(unsigned char byte, std::string& out);

  char bytes_[4] = {}; // [size_] of a character of length_ bytes
  uint8_t size_ = 0;
  uint8_t length_ = 0;
  uint8_t low_ = 0x80; // what the next byte may be
  uint8_t high_ = 0xBF;
};

bool is_utf8(std::string_view text);

/// Returns `text` with every invalid part replaced.
std::string repaired_utf8(std::string_view text);

} // namespace troupe
