#pragma once

/// Sets of characters, and how texts spell them.

#include "runtime/grammar/expression.hpp"

#include <compare>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <optional>
#include <string_view>
#include <vector>

namespace troupe {

struct code_range {
  uint32_t first = 0;
  uint32_t last = 0;

  friend auto operator<=>(const code_range&, const code_range&) = default;
};

inline constexpr uint32_t last_code_point = 0x10ffff;

/// Ascending, apart from each other.
class code_set {
public:
  code_set() = default;
  code_set(std::initializer_list<code_range> ranges);

  void add(code_range x);
  void add(const code_set& all);

  bool has(uint32_t x) const;

  /// All others.
  code_set others() const;

  const std::vector<code_range>& ranges() const {
    return ranges_;
  }

private:
  std::vector<code_range> ranges_;
};

/// Writes one character of a set.
using spelling = expression_ptr (*)(const code_set&);

/// In UTF-8, which has no surrogates.
expression_ptr in_utf8(const code_set& x);

/// The same within a string of JSON: what cannot stand there as it is has one
/// escape.
expression_ptr in_json_string(const code_set& x);

/// The same, each set once: sources say the same one again and again.
class speller {
public:
  explicit speller(spelling how) : how_(how) {
  }

  expression_ptr operator()(const code_set& x);

private:
  spelling how_;
  std::map<std::vector<code_range>, expression_ptr> known_;
};

/// Takes a character off the front of valid UTF-8; nothing at its end.
std::optional<uint32_t> take_code_point(std::string_view& text);

} // namespace troupe
