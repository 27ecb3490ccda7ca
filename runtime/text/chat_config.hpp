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
  /// Why there is no template, if there are some that are not meant.
  std::string chat_template_note;
};

/// `json` is not trusted.
result<chat_config> parse_chat_config(std::string_view json);

} // namespace troupe
