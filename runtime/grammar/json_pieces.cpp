#include "runtime/grammar/json_pieces.hpp"

#include <algorithm>

namespace troupe {

namespace {

constexpr uint32_t most_indent = 32;
constexpr std::string_view all_digits = "0123456789";
constexpr std::string_view hex_digits = "0123456789abcdefABCDEF";

// A February of a leap year by itself.
constexpr const char* date
  = R"((\d{4}-((0[13578]|1[02])-(0[1-9]|[12]\d|3[01])|(0[469]|11)-)"
    R"((0[1-9]|[12]\d|30)|02-(0[1-9]|1\d|2[0-8]))|)"
    R"((\d\d(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00))"
    R"(-02-29))";
constexpr const char* time_of_day
  = R"(([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,6})?(Z|[+-]0\d:[0-5]\d))";

expression_ptr some_digits(uint32_t least, uint32_t most) {
  return repeated(one_of(all_digits), least, most);
}

/// \uXXXX, alone or as a pair of surrogates.
expression_ptr coded_character() {
  auto hex = [](uint32_t n) { return repeated(one_of(hex_digits), n, n); };
  auto d = one_of("dD");
  auto alone = choice_of({in_sequence({one_of("0123456789abcefABCEF"), hex(3)}),
                          in_sequence({d, one_of("01234567"), hex(2)})});
  auto pair = in_sequence({d, one_of("89abAB"), hex(2), literal("\\u"), d,
                           one_of("cdefCDEF"), hex(2)});
  return in_sequence({literal("\\u"), choice_of({alone, pair})});
}

int64_t power_of_10(uint32_t n) {
  int64_t out = 1;
  while (n-- > 0)
    out *= 10;
  return out;
}

/// Numbers of `length` digits from `first` to `last`.
void add_range(int64_t first, int64_t last, uint32_t length,
               std::vector<expression_ptr>& to) {
  for (uint32_t i = 1; i < length; ++i) {
    auto of = power_of_10(i);
    if (first / of == last / of)
      continue;
    if (first % of != 0) {
      auto end = first / of * of + of - 1;
      add_range(first, end, length, to);
      return add_range(end + 1, last, length, to);
    }
    if (last % of != of - 1) {
      auto begin = last / of * of;
      add_range(first, begin - 1, length, to);
      return add_range(begin, last, length, to);
    }
  }
  std::vector<expression_ptr> parts;
  for (auto i = length; i-- > 0;) {
    auto of = power_of_10(i);
    auto low = size_t(first / of % 10);
    auto high = size_t(last / of % 10);
    parts.push_back(one_of(all_digits.substr(low, high - low + 1)));
  }
  to.push_back(in_sequence(std::move(parts)));
}

/// Both at least 0.
void add_numbers(int64_t least, int64_t most, std::vector<expression_ptr>& to) {
  for (uint32_t length = 1; length <= 15; ++length) {
    auto first = std::max(least, length == 1 ? 0 : power_of_10(length - 1));
    auto last = std::min(most, power_of_10(length) - 1);
    if (first <= last)
      add_range(first, last, length, to);
  }
}

} // namespace

expression_ptr json_space() {
  auto line = in_sequence(
    {literal("\n"), choice_of({repeated(literal(" "), 0, most_indent),
                               repeated(literal("\t"), 1, most_indent / 4)})});
  return choice_of({in_sequence({}), literal(" "), line});
}

const code_set& json_plain_characters() {
  static const code_set all{{' ', '!'}, {'#', '['}, {']', last_code_point}};
  return all;
}

expression_ptr json_character() {
  auto escape = in_sequence({literal("\\"), one_of("\"\\/bfnrt")});
  return choice_of(
    {in_utf8(json_plain_characters()), escape, coded_character()});
}

expression_ptr json_number(bool may_be_negative) {
  auto whole = choice_of(
    {literal("0"),
     in_sequence({one_of(all_digits.substr(1)), some_digits(0, 14)})});
  auto part = optional_of(in_sequence({literal("."), some_digits(1, 17)}));
  auto power = optional_of(
    in_sequence({one_of("eE"), optional_of(one_of("+-")), some_digits(1, 2)}));
  auto sign = may_be_negative ? optional_of(literal("-")) : in_sequence({});
  return in_sequence({sign, whole, part, power});
}

expression_ptr json_integer(int64_t least, int64_t most) {
  std::vector<expression_ptr> ways;
  add_numbers(std::max<int64_t>(least, 0), most, ways);
  std::vector<expression_ptr> negative;
  add_numbers(std::max<int64_t>(-most, 1), -least, negative);
  if (!negative.empty())
    ways.push_back(in_sequence({literal("-"), choice_of(std::move(negative))}));
  return choice_of(std::move(ways));
}

std::string format_pattern(std::string_view format) {
  if (format == "date")
    return date;
  if (format == "time")
    return time_of_day;
  if (format == "date-time")
    return std::string{date} + "T" + time_of_day;
  if (format == "uuid")
    return "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}";
  return {};
}

} // namespace troupe
