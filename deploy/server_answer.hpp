#pragma once

/// Questions to a running server, and the flags that say which one that is.

#include "runtime/http/client.hpp"

#include <CLI/CLI.hpp>

#include <string>

namespace troupe {

struct server_flags {
  std::string url = "http://127.0.0.1:8000";
  std::string key_file;
  std::string authorities;
  bool trust_anybody = false;

  void add_to(CLI::App& command);
};

struct asked_server {
  http::client_options options;
  std::string key; ///< Of the API; may be empty.
};

/// Errors: those of parse_web_address() and read_client_key().
result<asked_server> find_server(const server_flags& flags);

/// What GET `path` answers. Errors: those of the client; io, refused with the
/// status.
result<std::string> ask_server(const asked_server& whom,
                               const std::string& path, const clock& time);

} // namespace troupe
