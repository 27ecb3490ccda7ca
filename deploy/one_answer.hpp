#pragma once

/// One question to a server, and its whole answer.

#include "runtime/http/client.hpp"

namespace troupe {

struct http_answer {
  unsigned status = 0;
  std::string body;
};

/// Waits for the answer, whatever its status. Errors: io, invalid_input.
result<http_answer> ask_once(const http::client_options& options,
                             http::outgoing_call what, const clock& time);

} // namespace troupe
