#pragma once

/// Grammars as llama.cpp writes them (GBNF): `root ::= "a" [0-9]+ | other`, a
/// comment from # to the end of a line. Literals, classes, ".", groups, names,
/// and the repetitions * + ? {2} {2,} {2,5}.

#include "runtime/error.hpp"
#include "runtime/grammar/expression.hpp"

#include <string_view>

namespace troupe {

/// Adds the rules of `source` and returns that of "root". Error: invalid_input
/// with the line.
result<uint32_t> add_gbnf(grammar_rules& to, std::string_view source);

} // namespace troupe
