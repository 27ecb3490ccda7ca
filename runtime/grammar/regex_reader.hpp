#pragma once

/// Regular expressions, as far as they are regular: characters, classes,
/// groups, alternatives and repetitions. What is none of that is refused by
/// name: looking around, references, properties of Unicode, \b, and ^ and $ but
/// for the ends of a whole alternative.

#include "runtime/error.hpp"
#include "runtime/grammar/code_points.hpp"

#include <string_view>

namespace troupe {

enum class regex_scope : uint8_t {
  whole, ///< It is all of the text.
  part,  ///< It is found in the text, unless ^ and $ say otherwise.
};

/// Texts of `source`, their characters spelled by `spell`. Error: invalid_input
/// with what is wrong.
result<expression_ptr> read_regex(std::string_view source, regex_scope scope,
                                  spelling spell);

} // namespace troupe
