#pragma once

/// The vocabulary of a model directory as keys of a GGUF file.

#include "runtime/checkpoint/config.hpp"
#include "runtime/convert/gguf_writer.hpp"

namespace troupe {

/// Adds tokens, their types, merges, special ids and the chat template, from
/// tokenizer.json and tokenizer_config.json. Ids below vocab_size that mean
/// nothing are called [PAD<id>] and marked unused. Without a tokenizer.json,
/// the file has no vocabulary and works with ids only. Error: invalid_input.
result<void> add_vocabulary(const std::filesystem::path& model_dir,
                            const model_config& config, gguf_keys& out);

} // namespace troupe
