#pragma once

/// The key with which this program asks a server.

#include "runtime/error.hpp"

#include <string>

namespace troupe {

/// The first line of `file`; without one TROUPE_API_KEY or OPENAI_API_KEY, or
/// nothing. Errors: what reading a private file says; invalid_input if it could
/// stand in no header.
result<std::string> read_client_key(const std::string& file);

} // namespace troupe
