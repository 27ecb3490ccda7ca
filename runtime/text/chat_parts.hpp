#pragma once

/// A prompt on its way: tokens of the form and text between them.

#include "runtime/text/tokenizer.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace troupe {

/// Builds text and ids side by side. Text that touches is encoded as one.
class chat_parts {
public:
  explicit chat_parts(const tokenizer& tokens) : tokens_(&tokens) {
  }

  /// Appends a token of the form; remembers the first that is not one.
  void token(std::string_view content);

  /// Appends text in which nothing is a token.
  void text(std::string_view content);

  /// Empty, or a token of the form that the tokenizer lacks.
  const std::string& missing() const {
    return missing_;
  }

  std::string& whole_text() {
    return whole_;
  }

  /// Returns the ids of all that was appended.
  std::vector<int32_t> ids();

private:
  void flush();

  const tokenizer* tokens_;
  std::string whole_;
  std::string plain_; // the end of whole_, not encoded yet
  std::vector<int32_t> ids_;
  std::string missing_;
};

} // namespace troupe
