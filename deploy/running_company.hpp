#pragma once

/// A cluster as the flags of a command want it: the first node in this process,
/// the others, with --nodes, as its children.

#include "actors/company.hpp"
#include "deploy/cluster_flags.hpp"
#include "deploy/company_trace.hpp"
#include "deploy/end_signals.hpp"
#include "deploy/fault_run.hpp"
#include "deploy/local_nodes.hpp"
#include "deploy/progress.hpp"

namespace troupe {

struct running_company {
  std::filesystem::path model_dir;
  model_config config;
  uint32_t max_model_len = 0;
  std::unique_ptr<progress_display> progress;
  std::unique_ptr<company_trace> trace; ///< Null: none is wanted.
  std::unique_ptr<local_nodes> nodes;   ///< Ended after the company.
  std::unique_ptr<company> serving;
};

/// Unless the flags say how long a context is: no longer than the model's.
void limit_context(const cluster_flags& flags, const model_config& config,
                   topology& cluster);

/// Starts it; weights load in the background. `faults`: null for none; `logs`:
/// null for what the flags say.
result<running_company>
start_company(const cluster_flags& flags, const fault_wiring* faults = nullptr,
              std::shared_ptr<const log_book> logs = {});

/// Waits until every node is there. `signals`: null for none. Errors: cancelled
/// if a signal asked to end, io if a child has ended, or what `serving` says.
result<void> wait_until_ready(running_company& x, end_signals* signals);

/// Ends it, and writes the trace that was asked for. Error: io.
result<void> end_company(running_company& x);

/// Reads a secret; empty for no path. Errors: io, not_found; invalid_input if
/// it is shorter than 16 bytes or longer than 4096, or if others than its owner
/// may read or change the file.
result<std::string> read_secret(const std::string& path);

/// `num_threads`, or for 0 an equal share of the processors.
uint32_t device_threads(uint32_t num_threads, uint32_t num_processes);

} // namespace troupe
