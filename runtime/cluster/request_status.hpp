#pragma once

/// What the balancer of requests has done and promised, for people.

#include "runtime/dispatch/placement.hpp"
#include "runtime/service.hpp"

#include <string>
#include <vector>

namespace troupe {

/// A running request goes on at another rank.
struct moved_request {
  request_id request = 0;
  rank_id from = 0;
  rank_id to = 0;
  uint64_t kv_tokens = 0;
  std::string reason; ///< A sentence.
  double gain = 0;    ///< Share of the slower rank's step that goes.
};

struct request_status {
  uint64_t plans = 0;   ///< With moves, since the start, as what follows.
  uint64_t moves = 0;   ///< Done.
  uint64_t refused = 0; ///< Begun, but not done.
  std::vector<moved_request> recent; ///< Done, the newest last.
};

} // namespace troupe
