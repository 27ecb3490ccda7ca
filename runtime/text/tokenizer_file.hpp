#pragma once

/// What stands in a tokenizer.json of the byte-level BPE kind, as plain data.
/// The file is not trusted: everything that the tokenizer relies upon is
/// checked here, and what is not supported, or not known, is refused by name.

#include "runtime/error.hpp"
#include "runtime/text/pre_tokenizer.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace troupe {

/// A token that is found in text before any merging.
struct added_token {
  std::string content; ///< Not empty.
  int32_t id = 0;
  bool special = false;    ///< Left out when ids are decoded without them.
  bool normalized = false; ///< Looked for after those that are not.
};

struct tokenizer_file {
  pre_tokenizer_spec pre_tokenizer;
  std::vector<added_token> added_tokens; ///< No content, no id twice.
  std::vector<std::pair<std::string, int32_t>> vocab; ///< In the alphabet.
  std::vector<std::pair<std::string, std::string>> merges;
  bool ignore_merges = false;      ///< A piece that is a token is that token.
  std::optional<int32_t> first_id; ///< What its template puts before a text.
};

/// No id is as large as this.
inline constexpr int32_t max_token_ids = 1 << 22;

result<tokenizer_file> parse_tokenizer_file(std::string_view json);

} // namespace troupe
