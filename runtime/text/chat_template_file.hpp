#pragma once

/// The chat template of a model directory, wherever it lies.

#include "runtime/error.hpp"
#include "runtime/text/chat_config.hpp"

#include <cstdint>
#include <filesystem>
#include <string>

namespace troupe {

/// More than any file of a chat template or a tokenizer's configuration has.
constexpr uint64_t max_chat_file_bytes = 16 << 20;

/// A template and the file that it came from.
struct chat_template_text {
  std::string text;   ///< Empty: there is none.
  std::string source; ///< "tokenizer_config.json"
  std::string note;   ///< Why there is none, if there is more to say.
};

/// Looks for chat_template.jinja, for chat_template.json and, where neither
/// lies there, into tokenizer_config.json, whose content is `config`. Errors:
/// io, invalid_input.
result<chat_template_text>
find_chat_template(const std::filesystem::path& model_dir,
                   std::string_view config);

/// What the files of a model say of chats.
struct chat_files {
  chat_config config;
  result<chat_template_text> form; ///< No io: no file to read is none at all.
};

/// Errors: io, and what is wrong with tokenizer_config.json.
result<chat_files> read_chat_files(const std::filesystem::path& model_dir);

/// The same, and reads tokenizer_config.json if there is one.
result<chat_template_text>
find_chat_template(const std::filesystem::path& model_dir);

} // namespace troupe
