#include "runtime/grammar/regex_reader.hpp"

#include "runtime/text/utf8.hpp"

#include <algorithm>
#include <cctype>
#include <optional>

namespace troupe {

namespace {

constexpr uint32_t max_regex_depth = 64;
constexpr uint32_t max_repetition = 100'000;

const code_set digits{{'0', '9'}};
const code_set word{{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
const code_set space{{9, 13}, {' ', ' '}, {0xa0, 0xa0}, {0x2028, 0x2029}};
const code_set line_ends{{'\n', '\n'}, {'\r', '\r'}};

class regex_reader {
public:
  regex_reader(std::string_view source, regex_scope scope, spelling spell)
    : rest_(source), scope_(scope), spell_(spell) {
  }

  result<expression_ptr> read() {
    auto out = alternatives(0);
    if (trouble_.empty() && !rest_.empty())
      refuse("there is a ')' too many");
    if (!trouble_.empty())
      return failure{errc::invalid_input, trouble_};
    return out;
  }

private:
  void refuse(std::string why) {
    if (trouble_.empty())
      trouble_ = std::move(why);
    rest_ = {};
  }

  bool skip(std::string_view what) {
    if (!rest_.starts_with(what))
      return false;
    rest_.remove_prefix(what.size());
    return true;
  }

  expression_ptr alternatives(uint32_t depth) {
    std::vector<expression_ptr> ways;
    do
      ways.push_back(sequence(depth));
    while (skip("|"));
    return ways.size() == 1 ? ways.front() : choice_of(std::move(ways));
  }

  expression_ptr anything() {
    return repeated(spell_(code_set{}.others()), 0, unlimited);
  }

  expression_ptr sequence(uint32_t depth) {
    std::vector<expression_ptr> parts;
    bool is_part = scope_ == regex_scope::part && depth == 0;
    if ((depth > 0 || !skip("^")) && is_part)
      parts.push_back(anything());
    bool ends = false;
    while (!rest_.empty() && rest_[0] != '|' && rest_[0] != ')') {
      if (depth == 0 && skip("$")) {
        ends = true;
        break;
      }
      parts.push_back(counted(atom(depth)));
    }
    if (ends && !rest_.empty() && rest_[0] != '|')
      refuse("'$' is supported at the end alone");
    if (is_part && !ends)
      parts.push_back(anything());
    return in_sequence(std::move(parts));
  }

  expression_ptr counted(expression_ptr x) {
    for (bool is_first = true;; is_first = false) {
      uint32_t least = 0;
      uint32_t most = unlimited;
      if (skip("?"))
        most = 1;
      else if (skip("+"))
        least = 1;
      else if (!skip("*") && !read_counts(least, most))
        return x;
      if (!is_first) {
        refuse("a repetition of a repetition needs a group");
        return x;
      }
      if (skip("+"))
        refuse("possessive repetitions are not supported");
      skip("?"); // the same texts
      x = repeated(std::move(x), least, most);
    }
  }

  /// {2}, {2,} or {2,5}; anything else is text.
  bool read_counts(uint32_t& least, uint32_t& most) {
    auto before = rest_;
    auto first = skip("{") ? number() : std::nullopt;
    auto last = first;
    if (first && skip(","))
      last = number().value_or(unlimited);
    if (!first || !skip("}")) {
      rest_ = before;
      return false;
    }
    if (*first > *last || *first > max_repetition
        || (*last > max_repetition && *last != unlimited))
      refuse("a repetition has at most " + std::to_string(max_repetition)
             + " rounds, and no fewer than at least");
    least = *first;
    most = *last;
    return true;
  }

  std::optional<uint32_t> number() {
    std::optional<uint32_t> out;
    while (!rest_.empty() && digits.has(static_cast<unsigned char>(rest_[0]))) {
      out = std::min(out.value_or(0) * 10 + uint32_t(rest_[0] - '0'),
                     max_repetition + 1);
      rest_.remove_prefix(1);
    }
    return out;
  }

  expression_ptr atom(uint32_t depth) {
    if (skip("("))
      return group(depth);
    if (skip("["))
      return spell_(bracketed());
    if (skip("."))
      return spell_(line_ends.others());
    if (skip("\\"))
      return spell_(escaped(false));
    constexpr std::string_view signs = "^$*+?";
    if (signs.find(rest_[0]) != signs.npos)
      refuse(std::string{"a '"} + rest_[0] + "' stands where it is not "
             + "supported");
    auto x = take_code_point(rest_).value_or(0);
    return spell_({{x, x}});
  }

  expression_ptr group(uint32_t depth) {
    if (depth >= max_regex_depth)
      refuse("groups are nested too deep");
    if (skip("?")) {
      if (skip("P<")
          || (rest_.size() > 1 && rest_[0] == '<' && rest_[1] != '='
              && rest_[1] != '!'))
        rest_.remove_prefix(std::min(rest_.find('>'), rest_.size() - 1) + 1);
      else if (!skip(":"))
        refuse("groups of the kind '(?" + std::string{rest_.substr(0, 2)}
               + "' are not supported");
    }
    auto out = alternatives(depth + 1);
    if (!skip(")"))
      refuse("a ')' is missing");
    return out;
  }

  /// Behind a backslash.
  code_set escaped(bool in_brackets) {
    auto x = take_code_point(rest_).value_or(0);
    switch (x) {
      case 'd':
        return digits;
      case 'D':
        return digits.others();
      case 'w':
        return word;
      case 'W':
        return word.others();
      case 's':
        return space;
      case 'S':
        return space.others();
      case 'x':
        return hexadecimal(2);
      case 'u':
        return hexadecimal(4);
      default:
        return control(x, in_brackets);
    }
  }

  code_set control(uint32_t x, bool in_brackets) {
    constexpr std::string_view names = "nrtfv0";
    constexpr std::string_view values{"\n\r\t\f\v\0", 6};
    auto c = static_cast<char>(x);
    if (auto i = names.find(c); x < 0x80 && i != names.npos)
      return {{uint32_t(values[i]), uint32_t(values[i])}};
    if (x == 'b' && in_brackets)
      return {{'\b', '\b'}};
    if (x == 0 || word.has(x))
      refuse("'\\" + (x == 0 ? std::string{} : std::string{c})
             + "' is not supported");
    return {{x, x}};
  }

  code_set hexadecimal(uint32_t count) {
    bool braces = count == 4 && skip("{");
    uint32_t x = 0;
    uint32_t n = 0;
    for (; n < (braces ? 6 : count) && !rest_.empty(); ++n) {
      auto c = static_cast<unsigned char>(rest_[0]);
      if (!std::isxdigit(c))
        break;
      x = x * 16 + uint32_t(std::isdigit(c) ? c - '0' : (c | 0x20) - 'a' + 10);
      rest_.remove_prefix(1);
    }
    if (braces ? n == 0 || !skip("}") : n != count)
      refuse("an escape has too few hexadecimal digits");
    if (x > last_code_point)
      refuse("there is no such character");
    return {{x, x}};
  }

  /// Behind a '['.
  code_set bracketed() {
    bool negated = skip("^");
    code_set out;
    for (bool is_first = true; trouble_.empty(); is_first = false) {
      if (rest_.empty())
        refuse("a ']' is missing");
      else if (!is_first && skip("]"))
        break;
      else if (is_first && rest_[0] == ']')
        refuse("an empty class, or one with an unescaped ']'");
      else
        add_member(out);
    }
    return negated ? out.others() : out;
  }

  void add_member(code_set& to) {
    auto first = member();
    bool is_range = rest_.size() > 1 && rest_[0] == '-' && rest_[1] != ']';
    if (!is_range)
      return to.add(first);
    skip("-");
    auto last = member();
    auto is_one = [](auto& x) {
      return x.ranges().size() == 1
             && x.ranges()[0].first == x.ranges()[0].last;
    };
    if (!is_one(first) || !is_one(last)
        || first.ranges()[0].first > last.ranges()[0].first)
      return refuse("a range of a class makes no sense");
    to.add({first.ranges()[0].first, last.ranges()[0].first});
  }

  code_set member() {
    if (skip("\\"))
      return escaped(true);
    auto x = take_code_point(rest_).value_or(0);
    return {{x, x}};
  }

  std::string_view rest_;
  regex_scope scope_;
  speller spell_;
  std::string trouble_;
};

} // namespace

result<expression_ptr> read_regex(std::string_view source, regex_scope scope,
                                  spelling spell) {
  if (!is_utf8(source))
    return failure{errc::invalid_input, "it is no UTF-8"};
  return regex_reader{source, scope, spell}.read();
}

} // namespace troupe
