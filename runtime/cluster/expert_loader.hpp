#pragma once

/// Experts that come to a worker while it serves: from where, and how it is
/// known that they are the right ones. Reads and computes, so not for actors.

#include "runtime/cluster/memory_room.hpp"
#include "runtime/cluster/shared_model.hpp"
#include "runtime/dispatch/expert_slots.hpp"

#include <memory>
#include <span>

namespace troupe {

/// An expert that is to come, and what is known of it.
struct expert_order {
  layer_slot to;
  digest proof; ///< See expert_digest; all zero: nobody knows.

  friend bool operator==(const expert_order&, const expert_order&) = default;
};

struct arrived_expert {
  layer_slot to;
  kernels::expert_weights weights;
  std::shared_ptr<const expert_shard> owner;
};

/// Takes all of `orders` from `model`, from what is in memory or from the
/// checkpoint. Errors: its own; out_of_memory; invalid_input, if the files hold
/// another expert than the one that is meant; cancelled.
result<std::vector<arrived_expert>>
load_experts(shared_model& model, precision activations,
             std::span<const expert_order> orders, const memory_room& room,
             const std::stop_token& stop);

} // namespace troupe
