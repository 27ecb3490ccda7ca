#pragma once

/// What a chat form writes, cut where tokens begin and end.

#include <string>
#include <string_view>
#include <vector>

namespace troupe {

/// One token of a form (<｜User｜>, <|im_end|>, <think>), or text between two.
/// Never empty.
using chat_atom = std::string;
using chat_atoms = std::vector<chat_atom>;

/// Whether `atom` is a token of a form, by how it looks.
bool is_form_token(std::string_view atom);

/// Cuts `text`; the atoms together are `text`.
chat_atoms atoms_of(std::string_view text);

/// Appends `more`; text that touches becomes one atom.
void append(chat_atoms& atoms, const chat_atoms& more);

// What stands for the unknown in what a template writes: bytes that no text
// holds.
inline constexpr std::string_view value_atom = "\x01"; ///< Somebody's words.
inline constexpr std::string_view bos_atom = "\x02";
inline constexpr std::string_view eos_atom = "\x03";
inline constexpr std::string_view any_text_atom = "\x04"; ///< In patterns.

/// Reads a pattern: "{}" is a value, "{bos}", "{eos}" and "{text}" as above.
chat_atoms pattern_of(std::string_view pattern);

} // namespace troupe
