#pragma once

/// From one placement to the next: who has to load what, and who may forget
/// what.

#include "runtime/dispatch/expert_slots.hpp"

#include <map>
#include <set>

namespace troupe {

/// Slots by the worker that has them; none without any.
using slots_by_worker = std::map<worker_id, std::vector<layer_slot>>;

struct placement_change {
  placement next;
  slots_by_worker arriving; ///< Free so far.
  slots_by_worker leaving;  ///< In use until nobody plans with the old one.
};

/// Judges whether `next` can follow `now`, in which nobody turns to workers of
/// `lost` nodes. Error: invalid_input, with a sentence, if it is not of the
/// epoch behind, see also placement::with, or a worker is lost; if a slot that
/// is to be filled is still another's; if an expert that has a replica would
/// have none.
result<placement_change> plan_change(const placement& now,
                                     const placement_lists& next,
                                     const std::set<node_id>& lost = {});

/// Whether every expert that has a replica `now` has one in `next`. Error:
/// invalid_input, with a sentence that names one.
result<void> check_coverage(const placement& now, const placement& next);

} // namespace troupe
