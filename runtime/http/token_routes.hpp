#pragma once

/// Text to tokens and back for clients who count or compare them, in vLLM's
/// form: POST /tokenize and /detokenize.

#include "runtime/http/openai_error.hpp"
#include "runtime/text/tokenizer.hpp"

namespace troupe::http {

struct tokenize_request {
  std::string model;    ///< Empty: not named.
  bool is_chat = false; ///< It has messages; `text` is empty.
  std::string text;
  bool add_begin = true;   ///< The begin token, where completions get one.
  bool with_texts = false; ///< Beside each id, what it stands for.
};

/// {"prompt": "...", "add_special_tokens": true, "return_token_strs": false};
/// with "messages" it is a chat, which is for others to read.
parsed<tokenize_request> parse_tokenize_request(std::string_view body);

/// {"count", "max_model_len", "tokens", "token_strs"}
std::string render_tokens(const tokenizer& tokens,
                          const std::vector<int32_t>& ids,
                          uint32_t max_model_len, bool with_texts);

/// The answer to {"tokens": [...]}: {"prompt": "..."}
parsed<std::string> detokenize(const tokenizer& tokens, std::string_view body);

} // namespace troupe::http
