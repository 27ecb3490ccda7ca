#pragma once

/// --device: what a node computes on.

#include "runtime/cluster/node_options.hpp"
#include "runtime/error.hpp"

#include <CLI/CLI.hpp>

#include <string>

namespace troupe {

/// Adds --device. `value` outlives `command`; the help says what this build
/// has.
void add_device(CLI::App& command, std::string& value);

/// A device as it is named: "cpu", "cpu/TARGET", "reference", "cuda" or
/// "cuda:N".
struct device_choice {
  enum class kind { cpu, reference, cuda } what = kind::cpu;
  uint32_t ordinal = 0;        ///< Of a GPU.
  std::string target = "best"; ///< Of a CPU, which this machine has.
};

/// Errors: invalid_input.
result<device_choice> parse_device(const std::string& name);

/// Makes nodes with these options compute on `name`. Errors: invalid_input,
/// not_found (no such GPU).
result<void> choose_device(const std::string& name, node_options& out);

/// Returns what the CPU can compute with, and what GPUs there are or why there
/// are none: lines for a person.
std::string describe_devices();

} // namespace troupe
