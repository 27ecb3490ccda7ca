#pragma once

/// What is done for /tokenize and /detokenize.

#include "runtime/http/request_desk.hpp"

namespace troupe::http {

/// Any thread. All that the constructor is given must outlive it.
class token_desk {
public:
  token_desk(const request_desk& desk, const tokenizer& tokens,
             const openai_options& options)
    : desk_(desk), tokens_(tokens), options_(options) {
  }

  /// The tokens of a text, or of a chat's prompt.
  reply tokenize(std::string_view body, uint32_t max_model_len) const;

  reply detokenize(std::string_view body) const;

private:
  const request_desk& desk_;
  const tokenizer& tokens_;
  const openai_options& options_;
};

} // namespace troupe::http
