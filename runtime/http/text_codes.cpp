#include "runtime/http/text_codes.hpp"

#include <algorithm>
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

std::vector<std::pair<std::string, std::string>>
split_query(std::string_view query) {
  std::vector<std::pair<std::string, std::string>> out;
  while (!query.empty()) {
    auto member = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(member.size() + 1, query.size()));
    auto name = member.substr(0, member.find('='));
    member.remove_prefix(std::min(name.size() + 1, member.size()));
    if (!name.empty())
      out.emplace_back(percent_decode(name), percent_decode(member));
  }
  return out;
}

} // namespace troupe::http
