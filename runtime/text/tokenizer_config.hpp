#pragma once

/// What tokenizer_config.json decides beside the chat form: whether a token
/// stands before plain text, and that its tokens are those of tokenizer.json.

#include "runtime/text/tokenizer.hpp"

namespace troupe {

struct tokenizer_config {
  /// The token before plain text, if there has to be one.
  std::optional<int32_t> first_id;
};

/// Reads the file of a model directory; without one, what tokenizer.json says
/// by itself. Every field is used, known to change no id and no text, or
/// refused; so are those of special_tokens_map.json and added_tokens.json.
/// Errors: invalid_input that names the field, io.
result<tokenizer_config>
read_tokenizer_config(const std::filesystem::path& model_dir,
                      const tokenizer& tokens);

/// The same from the text of the file, which is not trusted.
result<tokenizer_config> parse_tokenizer_config(std::string_view text,
                                                const tokenizer& tokens);

} // namespace troupe
