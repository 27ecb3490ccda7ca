#pragma once

/// What the bodies of all kinds of request have in common: how they are read,
/// and how what is wrong with them is told.

#include "runtime/http/completion_options.hpp"
#include "runtime/http/openai_error.hpp"

#include <initializer_list>

namespace troupe::http {

/// The object that `body` is. Error: invalid_input.
result<field_reader> read_body(std::string_view body,
                               const request_limits& limits);

/// What is wrong with a field, in OpenAI's words.
api_error in_openai_words(const field_trouble& x);

/// The text of the field `name`: a string, or a list of parts that have a text
/// and one of `types`.
std::string read_text_parts(field_reader& in, std::string_view name,
                            std::initializer_list<std::string_view> types);

} // namespace troupe::http
