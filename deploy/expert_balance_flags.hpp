#pragma once

/// The flags that let experts move while a company serves, of those commands
/// whose companies live for a while.

#include "runtime/error.hpp"

#include <CLI/CLI.hpp>

#include <memory>
#include <string>

namespace troupe {

struct balance_settings; // runtime/cluster/balance_settings.hpp

struct expert_balance_flags {
  std::string interval = "off";
  std::string payback = "60s";
  std::string load_file; ///< Empty: none.

  void add_to(CLI::App& command);

  /// Null: experts stay where they are. Errors: invalid_input, those of
  /// read_loads().
  result<std::shared_ptr<const balance_settings>> settings() const;

  /// As they would be typed again, with a space before each.
  std::string replayed() const;
};

} // namespace troupe
