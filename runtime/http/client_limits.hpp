#pragma once

/// What clients may send and how long they may take, by the names with which
/// people set it.

#include "runtime/http/completion_options.hpp"
#include "runtime/http/server.hpp"

namespace troupe::http {

struct client_limits {
  server_limits server;
  request_limits requests;
  size_t max_waiting_bytes = 64 << 20; ///< See openai_options.
};

struct limit_name {
  std::string_view name;
  std::string value; ///< As set_limit takes it.
};

/// All names, with what holds in `x`.
std::vector<limit_name> named_limits(const client_limits& x);

/// Sets the limit that `text` names: "body=16M", "idle-time=1min". Numbers may
/// have the suffixes of with_suffix; times have a unit. Error: invalid_input,
/// with the names that there are, or what the value may be.
result<void> set_limit(std::string_view text, client_limits& to);

/// Whether the limits can hold together (errc::invalid_input).
result<void> check_limits(const client_limits& x);

} // namespace troupe::http
