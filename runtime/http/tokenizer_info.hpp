#pragma once

/// What clients that write a chat's prompt themselves have to know, in vLLM's
/// form: GET /tokenizer_info.

#include "runtime/error.hpp"

#include <cstdint>
#include <filesystem>
#include <string>

namespace troupe::http {

/// {"bos_token", "eos_token", "pad_token", "chat_template",
/// "model_max_length"}, as the files of `model_dir` have them; null: it has
/// none, or, of the template, chats are written by another form than its own
/// (`is_own_form`). Errors: io, invalid_input.
result<std::string>
render_tokenizer_info(const std::filesystem::path& model_dir,
                      uint32_t max_model_len, bool is_own_form = true);

} // namespace troupe::http
