#pragma once

/// The flags that say how clients reach `serve`: where it listens, and what
/// one client may take.

#include "runtime/http/server.hpp"

#include <CLI/CLI.hpp>

namespace troupe {

struct http_flags {
  http::server_options server;
  std::vector<std::string> proxies; ///< Addresses and ranges.
  std::vector<std::string> origins; ///< Of pages that may call the API.

  void add_to(CLI::App& command);

  /// What the flags say; who serves adds time and names. Error: invalid_input.
  result<http::server_options> options() const;
};

} // namespace troupe
