#pragma once

/// From what a request says of its answer's text to a program.

#include "runtime/grammar/grammar_source.hpp"
#include "runtime/grammar/program.hpp"

#include <memory>

namespace troupe {

/// The same for the same source in every process; in a bounded number of
/// steps. Error: invalid_input, with a sentence that goes behind a field's
/// name. `x` must not be of kind none.
result<std::shared_ptr<const grammar_program>>
compile_grammar(const grammar_source& x);

} // namespace troupe
