#include "runtime/text/oniguruma.hpp"

#include <algorithm>
#include <array>
#include <optional>

namespace troupe {

namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool is_hex(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/// Reads the expression once from left to right.
class translation {
public:
  explicit translation(std::string_view in) : in_(in) {
  }

  result<std::string> run() {
    while (!rest().empty() && why_.empty())
      step();
    if (why_.empty() && in_class_)
      why_ = "a class that is not closed";
    if (!why_.empty())
      return failure{errc::invalid_input,
                     "the expression \"" + std::string{in_.substr(0, 200)}
                       + "\" has " + why_ + ", which is not supported"};
    return std::move(out_);
  }

private:
  std::string_view rest() const {
    return in_.substr(at_);
  }

  void take(size_t count) {
    out_ += in_.substr(at_, count);
    at_ += count;
  }

  void step() {
    char c = in_[at_];
    if (c == '\\')
      escape();
    else if (in_class_)
      step_in_class(c);
    else if (c == '[')
      open_class();
    else if (c == '(')
      group();
    else if (c == '{')
      interval();
    else if (c == '^' || c == '$')
      why_ = "an anchor";
    else
      take(1);
  }

  void step_in_class(char c) {
    if (c == '[')
      why_ = "a class in a class";
    else if (rest().starts_with("&&"))
      why_ = "an intersection of classes";
    if (c == ']')
      in_class_ = false;
    take(1);
  }

  void open_class() {
    in_class_ = true;
    take(rest().starts_with("[^") ? 2 : 1);
    if (rest().starts_with("]"))
      why_ = "an empty class";
  }

  void group() {
    static constexpr std::array<std::string_view, 7> known{
      "(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>", "(?i:"};
    auto known_one = std::find_if(known.begin(), known.end(), [&](auto start) {
      return rest().starts_with(start);
    });
    if (known_one != known.end())
      take(known_one->size());
    else if (rest().starts_with("(?") || rest().starts_with("(*"))
      why_ = "a group of an unknown kind";
    else
      take(1);
  }

  /// {n}, {n,} and {n,m}; {,m} and a possessive + mean something else here
  /// than there.
  void interval() {
    size_t end = at_ + 1;
    while (end < in_.size() && is_digit(in_[end]))
      ++end;
    bool starts_with_number = end > at_ + 1;
    if (end < in_.size() && in_[end] == ',')
      ++end;
    while (end < in_.size() && is_digit(in_[end]))
      ++end;
    if (!starts_with_number || end == in_.size() || in_[end] != '}')
      why_ = "a brace that is no interval";
    else
      take(end + 1 - at_);
    if (rest().starts_with("+"))
      why_ = "a plus after an interval";
  }

  void escape() {
    if (rest().size() < 2) {
      why_ = "a lone backslash at its end";
      return;
    }
    char c = in_[at_ + 1];
    if (c == 'p' || c == 'P')
      property();
    else if (c == 'u')
      code_point(4);
    else if (c == 'x')
      code_point(2);
    else if (auto set = rewritten(c))
      replace(*set);
    else if (is_letter(c)
               ? std::string_view{"nrtfae"}.find(c) == std::string_view::npos
               : is_digit(c) || static_cast<signed char>(c) < 0)
      why_ = std::string{"the escape \\"} + (c < 0 ? '?' : c);
    else
      take(2);
  }

  std::optional<std::string_view> rewritten(char c) {
    switch (c) {
      case 's':
        return R"(\p{White_Space})";
      case 'S':
        return R"(\P{White_Space})";
      case 'd':
        return R"(\p{Nd})";
      case 'D':
        return R"(\P{Nd})";
      case 'w':
        return in_class_ ? R"(\p{L}\p{M}\p{Nd}\p{Pc})"
                         : R"([\p{L}\p{M}\p{Nd}\p{Pc}])";
      case 'W':
        if (!in_class_)
          return R"([^\p{L}\p{M}\p{Nd}\p{Pc}])";
        return std::nullopt;
      default:
        return std::nullopt;
    }
  }

  void replace(std::string_view with) {
    out_ += with;
    at_ += 2;
  }

  /// \x41, \x{1F600} and \u4E00.
  void code_point(size_t num_digits) {
    size_t first = at_ + 2;
    size_t end = first + num_digits;
    size_t next = end;
    if (in_[at_ + 1] == 'x' && first < in_.size() && in_[first] == '{') {
      end = std::min(in_.find('}', ++first), in_.size());
      next = end + 1;
    }
    auto digits = in_.substr(std::min(first, in_.size()), end - first);
    if (end > in_.size() || next > in_.size() || digits.empty()
        || digits.size() > 6
        || !std::all_of(digits.begin(), digits.end(), is_hex)) {
      why_ = "a code point that is not understood";
      return;
    }
    out_ += "\\x{";
    out_ += digits;
    out_ += '}';
    at_ = next;
  }

  /// General categories have one or two letters; a longer name is a script,
  /// and PCRE2 complains if there is none of that name.
  void property() {
    auto close = rest().find('}');
    if (rest().size() < 3 || rest()[2] != '{' || close == rest().npos) {
      why_ = "a property without braces";
      return;
    }
    auto name = rest().substr(3, close - 3);
    auto letters = name.substr(name.starts_with('^') ? 1 : 0);
    if (letters.empty()
        || !std::all_of(letters.begin(), letters.end(), is_letter)) {
      why_ = "the property \"" + std::string{name} + "\"";
      return;
    }
    out_ += rest().substr(0, 3);
    out_ += name.substr(0, name.size() - letters.size());
    out_ += letters.size() > 2 ? "sc:" : "";
    out_ += letters;
    out_ += '}';
    at_ += close + 1;
  }

  std::string_view in_;
  size_t at_ = 0;
  bool in_class_ = false;
  std::string out_;
  std::string why_; // not empty: stop
};

} // namespace

result<std::string> pcre2_from_oniguruma(std::string_view expression) {
  return translation{expression}.run();
}

} // namespace troupe
