#pragma once

/// The flags that say how clients reach `serve`: where it listens, and what
/// one client may take.

#include "runtime/http/client_limits.hpp"
#include "runtime/http/response_store.hpp"
#include "runtime/http/server.hpp"

#include <CLI/CLI.hpp>

namespace troupe {

struct http_flags {
  http::server_options server;
  std::vector<std::string> proxies; ///< Addresses and ranges.
  std::vector<std::string> origins; ///< Of pages that may call the API.
  std::string admin_socket;         ///< A path; empty: there is none.
  http::store_limits stored;        ///< Responses that are kept.
  std::vector<std::string> limits;  ///< NAME=VALUE: see set_limit.

  void add_to(CLI::App& command);

  /// What the flags say; who serves adds time and names. Error: invalid_input.
  result<http::server_options> options() const;

  /// Likewise, of what clients may send.
  result<http::client_limits> client_limits() const;

private:
  void add_limits(CLI::App& command);
  void add_stored(CLI::App& command);
};

} // namespace troupe
