#pragma once

/// The small parts of JSON texts, as expressions. What could go on for ever is
/// bounded, so that an answer comes to its end: white space is a space, or a
/// line end and up to 32 more; numbers have as many digits as a double can tell
/// apart, and an exponent of two.

#include "runtime/grammar/code_points.hpp"

#include <cstdint>

namespace troupe {

/// Where white space may be.
expression_ptr json_space();

/// A character within a string, escaped in any way.
expression_ptr json_character();

/// One that stands for itself.
const code_set& json_plain_characters();

expression_ptr json_number(bool may_be_negative);

/// Whole numbers of up to 15 digits.
inline constexpr int64_t most_json_integer = 999'999'999'999'999;

expression_ptr json_integer(int64_t least, int64_t most);

/// A regular expression of a `format` that is kept to; of others, which are
/// notes, none.
std::string format_pattern(std::string_view format);

} // namespace troupe
