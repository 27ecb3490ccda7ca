#pragma once

/// Faults in a file: TOML, one table for each.
///
///   [[fault]]
///   kill = "worker-1"                 # a node, or "any": the seed draws one
///   on = { event = "frame_sent", nth = 1000, node = "rank-0" }
///   for = "2s"                        # then it begins anew; without: never
///
///   [[fault]]
///   delay = ["rank-0", "any"]         # a link, both ways
///   extra = "5ms"
///   class = "rows"                    # rows, control, bulk or heartbeat
///   every = "5s"                      # or: at = "10s"
///   times = 4
///   for = "3s"
///
///   [[fault]]
///   move_experts = "any"              # some come to workers of this node
///   at = "2s"                         # likewise leave, stay (after all), and
///                                     # join, of one that is not there
///
///   [[fault]]
///   client_vanish = 3                 # a request's number, or "any"
///   at = "10ms"
///   p = 0.5                           # the chance that it happens
///   must_happen = false               # or else the run fails

#include "runtime/error.hpp"
#include "runtime/sim/fault.hpp"

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace troupe {

/// What the targets of a plan may be.
struct plan_scope {
  std::vector<std::string> nodes; ///< By node_id. None is named "any".
  uint32_t num_requests = 0;
};

/// `source_name` stands in front of every complaint. Error: invalid_input with
/// one sentence that names line, table and key.
result<std::vector<fault>> parse_fault_plan(std::string_view text,
                                            std::string_view source_name,
                                            const plan_scope& scope);

/// Errors: not_found, io, invalid_input.
result<std::vector<fault>> read_fault_plan(const std::filesystem::path& path,
                                           const plan_scope& scope);

/// Writes TOML that parse_fault_plan reads back to the same.
std::string render(const std::vector<fault>& plan);

} // namespace troupe
