#pragma once

/// The text of a chat template (Jinja) cut into its tags, in order to tell
/// which form it writes.

#include "runtime/error.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace troupe {

enum class template_token_kind : uint8_t {
  name, ///< Keywords too.
  string,
  number,
  symbol,
};

struct template_token {
  template_token_kind kind = template_token_kind::name;
  std::string value; ///< A string's without quotes and escapes.

  bool is_name(std::string_view v) const {
    return kind == template_token_kind::name && value == v;
  }

  bool is_symbol(std::string_view v) const {
    return kind == template_token_kind::symbol && value == v;
  }
};

/// One {{ tag }}, one {% tag %}, or the text between two. Comments are left
/// out.
struct template_tag {
  enum class kind : uint8_t { text, output, block };

  kind what = kind::text;
  std::string text;                   ///< Of a text.
  std::vector<template_token> tokens; ///< Of the others.

  /// Whether it is {% keyword ... %}.
  bool is_block(std::string_view keyword) const {
    return what == kind::block && !tokens.empty()
           && tokens.front().is_name(keyword);
  }
};

/// Cuts `source` (at most 64 KiB, not trusted). White space outside of tags is
/// left out where it only lays the template out: where a tag trims it, and
/// where it holds a line feed. Error: invalid_input.
result<std::vector<template_tag>> tags_of_template(std::string_view source);

} // namespace troupe
