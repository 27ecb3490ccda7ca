#pragma once

/// The flag that makes links slower than they are, of every command that starts
/// a node.

#include "runtime/topology.hpp"
#include "runtime/transport/link_emulation.hpp"

#include <CLI/CLI.hpp>

namespace troupe {

/// --emulate-link, which may be repeated.
void add_emulated_links(CLI::App& command, std::vector<link_emulation>& to);

/// Whether the cluster has such links. Error: invalid_input.
result<void> check_links(const std::vector<link_emulation>& links,
                         const topology& cluster);

} // namespace troupe
