#include "runtime/quantity.hpp"

namespace troupe {

namespace {

constexpr int64_t limit = 1'000'000'000'000'000;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/// `digits` of a number's end, each worth a tenth of the one before it.
std::optional<int64_t> fraction_of(std::string_view digits, int64_t whole) {
  int64_t out = 0;
  for (auto c : digits) {
    if (!is_digit(c) || (whole % 10 != 0 && c != '0'))
      return std::nullopt;
    whole /= 10;
    out += (c - '0') * whole;
  }
  return out;
}

std::optional<int64_t> count_of(std::string_view number, int64_t one_unit) {
  auto point = number.find('.');
  auto whole = number.substr(0, point);
  if (whole.empty() || whole.size() > 15)
    return std::nullopt;
  int64_t out = 0;
  for (auto c : whole) {
    if (!is_digit(c))
      return std::nullopt;
    out = out * 10 + (c - '0');
  }
  if (out >= limit / one_unit)
    return std::nullopt;
  out *= one_unit;
  if (point == number.npos)
    return out;
  auto digits = number.substr(point + 1);
  auto rest = fraction_of(digits, one_unit);
  if (digits.empty() || !rest)
    return std::nullopt;
  return out + *rest;
}

} // namespace

std::optional<int64_t> parse_quantity(std::string_view text,
                                      std::span<const quantity_unit> units) {
  for (auto& unit : units)
    if (text.ends_with(unit.name))
      return count_of(text.substr(0, text.size() - unit.name.size()),
                      unit.worth);
  return std::nullopt;
}

} // namespace troupe
