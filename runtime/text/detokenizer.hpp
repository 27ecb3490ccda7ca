#pragma once

/// Tokens that come one by one, as text for someone who reads along. A
/// character may lie across tokens, so text comes late rather than wrong:
/// nothing while all that is known would end in U+FFFD.

#include "runtime/text/tokenizer.hpp"
#include "runtime/text/utf8.hpp"

namespace troupe {

/// One stream. The tokenizer must outlive it. All pieces together are
/// `tokenizer.decode` of all ids.
class detokenizer {
public:
  explicit detokenizer(const tokenizer& tokens, bool skip_special = false)
    : tokens_(&tokens), skip_special_(skip_special) {
  }

  /// Returns the text that is certain now, always whole characters.
  std::string push(int32_t id);

  /// Returns the rest: U+FFFD for a character that stayed unfinished.
  std::string finish();

private:
  const tokenizer* tokens_;
  bool skip_special_;
  utf8_repair repair_;
  std::string held_;
};

} // namespace troupe
