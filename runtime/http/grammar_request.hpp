#pragma once

/// What a request says of its answer's text: OpenAI's `response_format`, vLLM's
/// `guided_*` and `structured_outputs`; `text.format` of responses, and
/// `output_config.format` of messages.

#include "runtime/http/completion_options.hpp"

namespace troupe::http {

/// `body` is what `in` reads: members come in the order in which it has those
/// of a schema. What no answer could fulfil is refused here.
void read_grammar(field_reader& in, std::string_view body, completion_kind kind,
                  const request_limits& limits, completion_options& to);

} // namespace troupe::http
