#pragma once

/// JSON by a schema, as a grammar. Every text of it is valid, not the other way
/// round: members come in the order of `properties`, then others, which there
/// are only if `additionalProperties` says so or no properties are named; what
/// may go on for ever is bounded (json_pieces.hpp). `oneOf` is taken for
/// `anyOf`. What would be a promise that is not kept is refused by name.

#include "runtime/error.hpp"
#include "runtime/grammar/expression.hpp"

#include <string_view>

namespace troupe {

/// Adds the rules of a schema and returns the first; nothing else may be
/// promised. Error: invalid_input with the place in the schema.
result<uint32_t> add_json_schema(grammar_rules& to, std::string_view schema);

/// The same for any object.
uint32_t add_json_object(grammar_rules& to);

} // namespace troupe
