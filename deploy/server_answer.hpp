#pragma once

/// One question to a running server.

#include "runtime/http/client.hpp"

#include <string>

namespace troupe {

/// What GET `path` answers. `key`: of the API; may be empty. Errors: those of
/// the client; io, refused with the status.
result<std::string> ask_server(const http::client_options& options,
                               const std::string& key, const std::string& path,
                               const clock& time);

} // namespace troupe
