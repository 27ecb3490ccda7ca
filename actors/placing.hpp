#pragma once

/// What is said of placements and their changes: a part of the conversation in
/// protocol.hpp. The placer writes them, workers load and forget, ranks and the
/// gateway follow; the balancer asks.

#include "actors/caf.hpp"
#include "runtime/cluster/expert_loader.hpp"
#include "runtime/cluster/placement_writer.hpp"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace troupe {

namespace balance {
struct expert_plan; // runtime/balance/expert_plan.hpp
}
struct balance_status; // runtime/cluster/balance_status.hpp

// -- to ranks and the gateway -------------------------------------------------

/// Plan with this placement from your next step on; answer with
/// placement_taken once no step is out that was planned with an older one.
struct placement_published {
  std::shared_ptr<const placement_lists> map;
};

/// Experts of a unit have no worker left and get none: who waits for them
/// fails.
struct experts_given_up {
  std::string why;
  unit_id unit = 0;
};

// -- to an expert worker ------------------------------------------------------

/// A step of a change of the placement. Answer `load` and `retire` with
/// slots_changed.
struct change_slots {
  uint32_t change = 0;
  worker_id worker = 0;
  slots_step step = slots_step::load;
  uint32_t epoch = 0; ///< The newest, or with `retire` the oldest.
  /// With `load` who is to come, with `serve` who leaves with what was before.
  std::vector<expert_order> slots;
};

/// From the loading thread.
struct experts_loaded {
  uint32_t change = 0;
  std::shared_ptr<const std::vector<arrived_expert>> experts;
  std::string failure; ///< Empty: well.
};

/// Nothing that was enqueued before reads these retired slots any more.
struct slots_unused {
  uint32_t change = 0;
  std::vector<layer_slot> slots;
};

// -- to the placer ------------------------------------------------------------

/// Let this placement follow. `done` hears the epoch of the new one, or why
/// there is none; on a thread of the service.
struct change_placement {
  std::shared_ptr<const placement_lists> next;
  std::shared_ptr<const std::function<void(const result<uint32_t>&)>> done;
};

/// A worker has done that step, or cannot.
struct slots_changed {
  uint32_t change = 0;
  worker_id worker = 0;
  slots_step step = slots_step::load;
  std::string failure; ///< Empty: well.
};

/// A rank has no step out that was planned with an epoch before this one.
struct placement_taken {
  rank_id rank = 0;
  uint32_t epoch = 0;
};

// -- to the balancer, and from it ---------------------------------------------

/// From the planning thread.
struct experts_planned {
  unit_id unit = 0;
  uint32_t round = 0;
  std::shared_ptr<const balance::expert_plan> plan;
};

/// What has become of the change that you asked for.
struct placement_changed {
  unit_id unit = 0;
  uint32_t round = 0;
  uint32_t epoch = 0; ///< Of the new placement; 0: there is none.
  std::string failure;
};

/// What has come of balancing experts so far.
struct experts_balanced {
  std::shared_ptr<const balance_status> status;
};

} // namespace troupe

TROUPE_MESSAGE(troupe::placement_published)
TROUPE_MESSAGE(troupe::experts_given_up)
TROUPE_MESSAGE(troupe::change_slots)
TROUPE_MESSAGE(troupe::experts_loaded)
TROUPE_MESSAGE(troupe::slots_unused)
TROUPE_MESSAGE(troupe::change_placement)
TROUPE_MESSAGE(troupe::slots_changed)
TROUPE_MESSAGE(troupe::placement_taken)
TROUPE_MESSAGE(troupe::experts_balanced)
TROUPE_MESSAGE(troupe::experts_planned)
TROUPE_MESSAGE(troupe::placement_changed)
