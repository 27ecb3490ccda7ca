#include "runtime/duration.hpp"

#include <cstdint>

namespace troupe {

namespace {

struct unit {
  std::string_view name;
  int64_t nanoseconds;
};

// What is the end of another name comes after it.
constexpr unit units[] = {
  {"min", 60'000'000'000}, {"ms", 1'000'000}, {"us", 1'000}, {"ns", 1},
  {"s", 1'000'000'000},
};

constexpr int64_t limit = 1'000'000 * int64_t{1'000'000'000};

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

std::optional<int64_t> nanoseconds_of(std::string_view number,
                                      int64_t one_unit) {
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

std::optional<std::chrono::nanoseconds> parse_duration(std::string_view text) {
  for (auto& unit : units) {
    if (!text.ends_with(unit.name))
      continue;
    auto number = text.substr(0, text.size() - unit.name.size());
    if (auto x = nanoseconds_of(number, unit.nanoseconds))
      return std::chrono::nanoseconds{*x};
    return std::nullopt;
  }
  return std::nullopt;
}

std::string render_duration(std::chrono::nanoseconds x) {
  for (auto& [name, size] : {units[4], units[1], units[2]})
    if (x.count() % size == 0)
      return std::to_string(x.count() / size) + std::string{name};
  return std::to_string(x.count()) + "ns";
}

} // namespace troupe
