#pragma once

/// What a virtual unit is and what its GPUs are given, as a file says
/// (examples/pictures/); paths in it are relative to it:
///
///   model = "deepseek-v3"              # a directory with a config.json
///   machine = "../../deploy/machines/h800.toml"
///   ranks = 128
///   redundant_experts = 0
///   exchange = "low_latency"           # or: "normal"
///   order = "worker_first"             # or: "in_order"
///   micro_batches = 2
///
///   [decode]                           # of each GPU
///   requests = 128
///   queries = 2                        # of each in a step
///   context = 4096                     # keys of each query
///
///   [prefill]                          # instead
///   prompts = 4
///   tokens = 4096                      # of each

#include "runtime/error.hpp"
#include "runtime/sim/virtual_unit.hpp"

#include <filesystem>

namespace troupe {

/// A batcher cuts prompts; requests that decode are shared out evenly. Errors:
/// not_found, io, invalid_input.
result<virtual_unit_options> read_unit_scene(const std::filesystem::path& path);

/// Whether all GPUs can be alike. Error: invalid_input.
result<void> check_ranks(const virtual_unit_options& x);

} // namespace troupe
