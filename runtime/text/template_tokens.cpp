#include "runtime/text/template_tokens.hpp"

#include <algorithm>

namespace troupe {

namespace {

using kind = template_token_kind;
using tag_kind = template_tag::kind;

constexpr size_t max_size = 64 << 10;
constexpr int max_depth = 64; // of brackets
constexpr std::string_view blanks = " \t\r\n";

bool is_letter(char c) {
  auto low = static_cast<char>(c | 0x20);
  return (low >= 'a' && low <= 'z') || c == '_';
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/// The end of a run of blanks that only lays the template out.
std::string_view without_layout(std::string_view text, bool trim_begin,
                                bool trim_end) {
  auto first = std::min(text.find_first_not_of(blanks), text.size());
  if (trim_begin || text.substr(0, first).find('\n') != text.npos)
    text.remove_prefix(first);
  auto last = text.find_last_not_of(blanks);
  auto end = last == text.npos ? 0 : last + 1;
  if (trim_end || text.substr(end).find('\n') != text.npos)
    text = text.substr(0, end);
  return text;
}

class template_lexer {
public:
  explicit template_lexer(std::string_view source) : rest_(source) {
  }

  result<std::vector<template_tag>> run() {
    bool trims = true; // what follows, at its beginning
    while (!rest_.empty() && trouble_.empty()) {
      auto begin = find_tag();
      auto sign = begin + 2 < rest_.size() ? rest_[begin + 2] : '\0';
      auto text = without_layout(rest_.substr(0, begin), trims, sign == '-');
      if (!text.empty())
        out_.push_back({tag_kind::text, std::string{text}, {}});
      rest_.remove_prefix(begin);
      trims = !rest_.empty() && tag();
    }
    if (!trouble_.empty())
      return failure{errc::invalid_input, trouble_};
    return std::move(out_);
  }

private:
  size_t find_tag() const {
    for (auto i = rest_.find('{'); i != rest_.npos; i = rest_.find('{', i + 1))
      if (i + 1 < rest_.size()
          && std::string_view{"{%#"}.find(rest_[i + 1])
               != std::string_view::npos)
        return i;
    return rest_.size();
  }

  /// Takes one tag. Returns whether it trims what follows.
  bool tag() {
    if (rest_.starts_with("{#"))
      return comment();
    bool is_output = rest_.starts_with("{{");
    rest_.remove_prefix(2);
    if (rest_.starts_with('-') || rest_.starts_with('+'))
      rest_.remove_prefix(1);
    out_.push_back({is_output ? tag_kind::output : tag_kind::block, "", {}});
    std::string_view end = is_output ? "}}" : "%}";
    int depth = 0;
    while (trouble_.empty()) {
      rest_.remove_prefix(
        std::min(rest_.find_first_not_of(blanks), rest_.size()));
      bool trims = depth == 0 && rest_.starts_with('-')
                   && rest_.substr(1).starts_with(end);
      if (trims || (depth == 0 && rest_.starts_with(end))) {
        rest_.remove_prefix(end.size() + trims);
        return trims;
      }
      if (rest_.empty())
        trouble_ = "it ends within a tag";
      else
        depth += inner();
      if (depth > max_depth)
        trouble_ = "its brackets nest too deeply";
    }
    return false;
  }

  bool comment() {
    auto end = rest_.find("#}", 2);
    if (end == rest_.npos) {
      trouble_ = "it ends within a comment";
      return false;
    }
    bool trims = rest_[end - 1] == '-';
    rest_.remove_prefix(end + 2);
    return trims;
  }

  /// Takes one token within a tag. Returns how many brackets it opens.
  int inner() {
    auto c = rest_.front();
    if (c == '\'' || c == '"') {
      string(c);
      return 0;
    }
    bool is_name = is_letter(c);
    if (is_name || is_digit(c)) {
      size_t size = 1;
      while (size < rest_.size()
             && (is_digit(rest_[size]) || (is_name && is_letter(rest_[size]))))
        ++size;
      take(is_name ? kind::name : kind::number, size);
      return 0;
    }
    static constexpr std::string_view twos[]
      = {"==", "!=", "<=", ">=", "//", "**"};
    size_t size = 1;
    for (auto two : twos)
      if (rest_.starts_with(two))
        size = 2;
    take(kind::symbol, size);
    if (c == '(' || c == '[' || c == '{')
      return 1;
    return c == ')' || c == ']' || c == '}' ? -1 : 0;
  }

  void string(char quote) {
    std::string value;
    for (size_t i = 1; i < rest_.size(); ++i) {
      if (rest_[i] == quote) {
        rest_.remove_prefix(i + 1);
        return add(kind::string, std::move(value));
      }
      if (rest_[i] != '\\') {
        value += rest_[i];
        continue;
      }
      static constexpr std::string_view escapes = "nrt\\'\"";
      static constexpr std::string_view meant = "\n\r\t\\'\"";
      auto which = ++i < rest_.size() ? escapes.find(rest_[i]) : escapes.npos;
      if (which == escapes.npos) {
        trouble_ = "it has an escape in a string that is not known here";
        return;
      }
      value += meant[which];
    }
    trouble_ = "it ends within a string";
  }

  void take(kind k, size_t size) {
    add(k, std::string{rest_.substr(0, size)});
    rest_.remove_prefix(size);
  }

  void add(kind k, std::string value) {
    out_.back().tokens.push_back({k, std::move(value)});
  }

  std::string_view rest_;
  std::vector<template_tag> out_;
  std::string trouble_;
};

} // namespace

result<std::vector<template_tag>> tags_of_template(std::string_view source) {
  if (source.size() > max_size)
    return failure{errc::invalid_input, "it is longer than 64 KiB"};
  for (auto c : source)
    if (static_cast<unsigned char>(c) < '\t')
      return failure{errc::invalid_input, "it holds a control character"};
  return template_lexer{source}.run();
}

} // namespace troupe
