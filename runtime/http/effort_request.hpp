#pragma once

/// How much a request wants to be thought and said. A model thinks as much as
/// it does and says what it does: but for `none`, which turns thought off where
/// the chat template has a switch, what OpenAI's clients may say is taken
/// without a consequence.

#include "runtime/http/openai_request.hpp"
#include "runtime/json/field_reader.hpp"

namespace troupe::http {

/// `name`: what `in` calls it.
void read_effort(field_reader& in, const char* name, chat_request& to);

void read_verbosity(field_reader& in);

} // namespace troupe::http
