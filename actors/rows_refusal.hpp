#pragma once

/// How a node says no to rows: whoever waits for them hears it at once.

#include "actors/directory.hpp"
#include "runtime/log.hpp"

namespace troupe {

/// Tells the rank, which is on the node `from`, and the log.
void refuse_rows(const cast_list& here, const logger& log, node_id from,
                 const rows_refused& answer);

} // namespace troupe
