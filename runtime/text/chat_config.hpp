#pragma once

/// What the chat form takes from tokenizer_config.json.

#include "runtime/error.hpp"

#include <string>
#include <string_view>

namespace troupe {

struct chat_config {
  std::string bos_token;
  std::string eos_token;
  std::string chat_template; ///< Empty if there is none.
  std::string pad_token;     ///< Empty if there is none.
};

/// `json` is not trusted.
result<chat_config> parse_chat_config(std::string_view json);

/// Whether the generation prompt of a template, as DeepSeek writes them, ends
/// in <think> when nobody says whether to think.
bool template_thinks(std::string_view chat_template);

} // namespace troupe
