#pragma once

/// Which form a checkpoint's chat template writes. It is told by what stands in
/// the template's text; one that has anything that its family's form does not
/// write is refused, for an answer to another prompt is worse than none.

#include "runtime/text/chat_shape.hpp"
#include "runtime/text/chat_template_file.hpp"

namespace troupe {

/// Error: invalid_input, with a sentence that says what stands against it.
result<chat_shape> recognise_chat_template(const chat_template_text& x);

/// The form in one line for people, e.g. "deepseek-v3.1, thinks when asked".
std::string describe(const chat_shape& shape);

} // namespace troupe
