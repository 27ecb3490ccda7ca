#pragma once

/// Where the API's keys come from: flags, a file, the environment, or all of
/// these, so that an old and a new key can be valid at once.

#include "runtime/error.hpp"

#include <CLI/CLI.hpp>

#include <string>
#include <vector>

namespace troupe {

struct api_key_flags {
  std::vector<std::string> keys;
  std::string file; ///< One key a line.

  void add_to(CLI::App& command);

  /// Every key; none if no source is named. A source without a key is an
  /// error: who names one does not want to serve everybody.
  result<std::vector<std::string>> read() const;
};

} // namespace troupe
