#include "runtime/http/text_codes.hpp"

#include <cstdio>

namespace troupe::http {

namespace {

int nibble(char c) {
  if (c >= '0' && c <= '9')
    return c - '0';
  c = static_cast<char>(c | 0x20);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

} // namespace

std::string hex(uint64_t a, uint64_t b) {
  char text[40];
  std::snprintf(text, sizeof text, "%016llx%016llx",
                static_cast<unsigned long long>(a),
                static_cast<unsigned long long>(b));
  return text;
}

std::string percent_decode(std::string_view x) {
  std::string out;
  for (size_t i = 0; i < x.size(); ++i) {
    bool two = x[i] == '%' && i + 2 < x.size();
    auto high = two ? nibble(x[i + 1]) : -1;
    auto low = two ? nibble(x[i + 2]) : -1;
    bool coded = high >= 0 && low >= 0;
    out += coded ? static_cast<char>(high * 16 + low) : x[i];
    i += coded ? 2 : 0;
  }
  return out;
}

} // namespace troupe::http
