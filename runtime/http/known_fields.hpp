#pragma once

/// Fields that OpenAI, vLLM, SGLang or llama.cpp give a meaning, and this
/// server none. Taken in silence they would mislead.

#include "runtime/http/completion_options.hpp"

namespace troupe::http {

/// Refuses the first of them that asks for something: that is not null, false,
/// 0, empty or what it is anyway.
void refuse_known_fields(field_reader& in, completion_kind kind);

} // namespace troupe::http
