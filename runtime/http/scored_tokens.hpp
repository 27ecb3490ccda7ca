#pragma once

/// Tokens with their log-probabilities as clients see them.

#include "runtime/service.hpp"
#include "runtime/text/tokenizer.hpp"

namespace troupe::http {

struct shown_token {
  std::string text; ///< U+FFFD for what is no whole character.
  std::string bytes;
  float logprob = 0; ///< At least -9999: JSON has no infinity.
};

/// A token, and which ones were likeliest in its place.
struct scored_token {
  shown_token own;
  std::vector<shown_token> best; ///< Likeliest first.
  bool has_score = true;         ///< The first of a prompt has none.
  uint64_t offset = 0;           ///< Characters before it in the text.
};

/// Shows the tokens of one text, in order. The tokenizer must outlive it.
class token_shower {
public:
  /// `skip_special`: the text is without special tokens.
  token_shower(const tokenizer& tokens, bool skip_special)
    : tokens_(tokens), skip_special_(skip_special) {
  }

  /// A token that nothing is known of.
  scored_token show(int32_t id);

  /// `scores`: the token's own, then those of the likeliest; ids below 0 stand
  /// for none.
  scored_token show(std::span<const token_score> scores);

private:
  shown_token show_one(const token_score& x) const;

  const tokenizer& tokens_;
  bool skip_special_;
  uint64_t num_characters_ = 0;
};

} // namespace troupe::http
