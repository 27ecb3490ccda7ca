#pragma once

/// The flag that lets running requests move to other ranks, of those commands
/// whose companies live for a while.

#include "runtime/error.hpp"

#include <CLI/CLI.hpp>

#include <memory>
#include <string>

namespace troupe {

struct request_settings; // runtime/cluster/request_settings.hpp
struct topology;

struct request_balance_flags {
  std::string interval = "off";

  void add_to(CLI::App& command);

  bool is_on() const {
    return interval != "off";
  }

  /// Null: requests stay where they are. Error: invalid_input.
  result<std::shared_ptr<const request_settings>> settings() const;

  /// Lets ranks of `cluster` copy blocks to each other. Error: invalid_input.
  result<void> apply(topology& cluster) const;

  /// As they would be typed again, with a space before each.
  std::string replayed() const;
};

} // namespace troupe
