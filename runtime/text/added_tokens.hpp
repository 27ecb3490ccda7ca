#pragma once

/// Finds added tokens such as <think> in text, as Hugging Face tokenizers do:
/// those with `normalized` false first, then, in what is left, the others;
/// each time from the left, the longest where several begin.

#include "runtime/text/tokenizer_file.hpp"

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace troupe {

/// Part of a text: a token, or text that is to be encoded.
struct token_or_text {
  std::string_view text;
  int32_t id = -1; ///< -1: text.
};

class added_tokens {
public:
  explicit added_tokens(const std::vector<added_token>& tokens);

  /// Returns the parts in order, none empty.
  std::vector<token_or_text> split(std::string_view text) const;

private:
  /// Tokens that are looked for at the same time.
  class finder {
  public:
    void add(const added_token& token);

    /// Appends the parts of `text`.
    void split(std::string_view text, std::vector<token_or_text>& parts) const;

  private:
    token_or_text longest_at_front(std::string_view text) const;

    // By first byte: the lengths of the tokens, longest first.
    std::array<std::vector<size_t>, 256> lengths_;
    std::unordered_map<std::string_view, int32_t> ids_;
    std::vector<std::unique_ptr<std::string>> contents_; // what ids_ looks at
  };

  finder first_;
  finder second_;
};

} // namespace troupe
