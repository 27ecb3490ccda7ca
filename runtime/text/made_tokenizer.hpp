#pragma once

/// A vocabulary for models that nobody trained: it encodes every text, and its
/// tokens are short pieces of ASCII.

#include "runtime/error.hpp"

#include <cstdint>
#include <string>

namespace troupe {

struct made_tokenizer {
  std::string tokenizer_json;
  std::string tokenizer_config_json; ///< With DeepSeek's chat form.

  // The same in every vocabulary.
  static constexpr int32_t bos_id = 0;
  static constexpr int32_t eos_id = 1;
  static constexpr int32_t pad_id = 2;
};

/// Begin, end, padding and the tokens of the chat form, the 256 bytes, then
/// pairs of ASCII characters, pairs with a third lower-case letter, and pairs
/// of pairs, each with its merge, until there are `vocab_size` tokens. Past
/// about 490,000, ids mean nothing. `max_length` stands in the configuration.
/// Error: invalid_input, if not even the bytes fit.
result<made_tokenizer> make_tokenizer(uint32_t vocab_size, uint32_t max_length);

} // namespace troupe
