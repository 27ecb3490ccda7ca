#pragma once

/// The tokenizer for pipes: JSON lines in, JSON lines out.

#include "runtime/text/tokenizer.hpp"

#include <iosfwd>

namespace troupe {

struct tokenize_options {
  bool plain = false;  ///< Special tokens in the text stay text.
  bool decode = false; ///< {"ids": [...]} in, {"text": "..."} out.
};

/// Answers each line {"text": "..."} with {"ids": [...]}. A line that is not
/// understood is named on `errors`, with its number and why, and the others
/// are still answered. Returns the exit status: 1 if there was such a line or
/// `out` took no more.
int tokenize_lines(const tokenizer& tokens, const tokenize_options& options,
                   std::istream& in, std::ostream& out, std::ostream& errors);

} // namespace troupe
