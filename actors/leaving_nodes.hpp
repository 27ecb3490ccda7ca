#pragma once

/// What is said of a node that is to leave in peace: to the controller, and
/// between it, the placer and the gateway.

#include "actors/caf.hpp"
#include "runtime/clock.hpp"
#include "runtime/cluster/lost_processes.hpp"
#include "runtime/dispatch/placement.hpp"
#include "runtime/error.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace troupe {

/// This node is about to leave in peace: give what it has to others, and tell
/// the controller by leaving_progress how far that is. Or it stays after all.
struct node_leaving {
  node_id node = 0;
  std::string name;
  bool stays = false;
};

/// Let this node leave in peace within `limit`. `begun` hears whether it has
/// begun to, on a thread of the service.
struct drain_node {
  std::string name;
  clock::instant::duration limit = {};
  std::shared_ptr<const std::function<void(const result<void>&)>> begun;
};

/// Whoever is leaving is to stay after all. `done` hears whether it does.
struct undrain_node {
  std::string name; ///< Empty: whoever it is.
  std::shared_ptr<const std::function<void(const result<void>&)>> done;
};

/// What a node that is leaving still has: the placer says it of experts, the
/// gateway of requests. See runtime/cluster/node_drain.hpp.
struct leaving_progress {
  enum class part : uint8_t { experts, requests };

  node_id node = 0;
  part of = part::experts;
  uint64_t done = 0;    ///< Experts that others have instead.
  uint64_t left = 0;    ///< Experts, or requests.
  bool is_done = false; ///< Of experts: nobody plans with its workers.
  std::optional<failure> why = {}; ///< Of experts: they stay where they are.
  bool is_needed = false;          ///< Of requests: nobody else could run any.
  lost_processes lost = {};        ///< That whoever says so has heard of.
};

} // namespace troupe

TROUPE_MESSAGE(troupe::node_leaving)
TROUPE_MESSAGE(troupe::drain_node)
TROUPE_MESSAGE(troupe::undrain_node)
TROUPE_MESSAGE(troupe::leaving_progress)
