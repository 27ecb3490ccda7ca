#pragma once

/// Where the API's keys come from: flags, a file, the environment, or all of
/// these, so that an old and a new key can be valid at once.

#include "runtime/http/api_keys.hpp"

#include <CLI/CLI.hpp>

#include <string>
#include <vector>

namespace troupe {

struct api_key_flags {
  std::vector<std::string> keys;
  std::string file;          ///< One key a line, or TOML.
  http::quota_limits limits; ///< Of those that name none of their own.
  bool open_metrics = false; ///< /metrics needs none.

  void add_to(CLI::App& command);

  /// Every key; none if no source is named. A source without a key is an
  /// error: who names one does not want to serve everybody.
  result<std::vector<http::api_key>> read() const;
};

/// Takes the keys that stand in `args` away from there, where every process of
/// the machine sees them; returns what the arguments were.
std::vector<std::string> take_arguments(int count, char** args);

} // namespace troupe
