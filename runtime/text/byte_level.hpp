#pragma once

/// The alphabet of byte-level vocabularies: 256 printable characters, one for
/// each byte, so that tokens can be written as text (a space is U+0120).
/// [GPT-2; `bytes_char` of Hugging Face tokenizers]

#include <optional>
#include <string>
#include <string_view>

namespace troupe {

/// Writes bytes as characters of the alphabet, in UTF-8.
std::string to_byte_alphabet(std::string_view bytes);

/// Reads them back. Nothing if some character is not of the alphabet.
std::optional<std::string> from_byte_alphabet(std::string_view text);

} // namespace troupe
