#pragma once

/// What the one who starts a company may choose for the balancer of requests.
/// See runtime/cluster/request_mover.hpp.

#include "runtime/balance/request_policy.hpp"
#include "runtime/error.hpp"

#include <chrono>
#include <memory>

namespace troupe {

struct request_settings {
  std::chrono::milliseconds interval{1'000}; ///< Between two plans; above 0.
  balance::decode_caps caps; ///< Of one plan of decode_balancer for a unit.
  /// A request that has moved, or could not, stays for so long.
  std::chrono::milliseconds rest{30'000};
  /// So long its blocks may take to be copied.
  std::chrono::milliseconds patience{10'000};
  /// Whose answer can have fewer tokens more than this does not move.
  uint32_t least_left = 32;
  /// Plans instead of decode_balancer, where its plans are in order. Null:
  /// nobody does.
  std::shared_ptr<balance::request_policy> policy;
};

struct topology;

/// Whether requests of `cluster` can be moved so; invalid_input otherwise.
result<void> check_moving(const request_settings& x, const topology& cluster);

} // namespace troupe
