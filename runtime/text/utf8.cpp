#include "runtime/text/utf8.hpp"

namespace troupe {

namespace {

struct lead {
  uint8_t length = 0;  ///< 0: no character begins with this byte.
  uint8_t low = 0x80;  ///< Of the second byte: no overlong forms, no
  uint8_t high = 0xBF; ///< surrogates, nothing beyond U+10FFFF.
};

lead lead_of(unsigned char byte) {
  if (byte < 0x80)
    return {1};
  if (byte >= 0xC2 && byte <= 0xDF)
    return {2};
  if (byte == 0xE0)
    return {3, 0xA0};
  if (byte == 0xED)
    return {3, 0x80, 0x9F};
  if (byte >= 0xE1 && byte <= 0xEF)
    return {3};
  if (byte == 0xF0)
    return {4, 0x90};
  if (byte >= 0xF1 && byte <= 0xF3)
    return {4};
  if (byte == 0xF4)
    return {4, 0x80, 0x8F};
  return {};
}

} // namespace

void utf8_repair::begin(unsigned char byte, std::string& out) {
  auto [length, low, high] = lead_of(byte);
  if (length == 0) {
    out += replacement_character;
  } else if (length == 1) {
    out += static_cast<char>(byte);
  } else {
    bytes_[0] = static_cast<char>(byte);
    size_ = 1;
    length_ = length;
    low_ = low;
    high_ = high;
  }
}

void utf8_repair::feed(std::string_view bytes, std::string& out) {
  for (char c : bytes) {
    auto byte = static_cast<unsigned char>(c);
    if (size_ == 0) {
      begin(byte, out);
    } else if (byte < low_ || byte > high_) {
      finish(out);
      begin(byte, out);
    } else {
      bytes_[size_++] = c;
      low_ = 0x80;
      high_ = 0xBF;
      if (size_ == length_) {
        out.append(bytes_, size_);
        size_ = 0;
      }
    }
  }
}

void utf8_repair::finish(std::string& out) {
  if (size_ > 0)
    out += replacement_character;
  size_ = 0;
}

bool is_utf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    auto [length, low, high] = lead_of(static_cast<unsigned char>(text[i]));
    if (length == 0 || text.size() - i < length)
      return false;
    for (size_t k = 1; k < length; ++k) {
      auto byte = static_cast<unsigned char>(text[i + k]);
      if (byte < low || byte > high)
        return false;
      low = 0x80;
      high = 0xBF;
    }
    i += length;
  }
  return true;
}

std::string repaired_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  utf8_repair repair;
  repair.feed(text, out);
  repair.finish(out);
  return out;
}

} // namespace troupe
