#pragma once

/// How a node says no to rows: whoever waits for them hears it at once.

#include "actors/directory.hpp"
#include "runtime/log.hpp"

namespace troupe {

/// One life of a node.
struct process {
  node_id node = 0;
  uint64_t incarnation = 0;
};

/// Tells the rank, which is in the process `asker`, and the log. A successor of
/// that process has not asked, and hears nothing.
void refuse_rows(const cast_list& here, const logger& log, const process& asker,
                 const rows_refused& answer);

} // namespace troupe
