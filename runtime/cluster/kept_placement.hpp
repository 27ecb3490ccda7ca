#pragma once

/// How a placement outlives all processes of a cluster: as bytes of its state,
/// and as what a cluster begins with that is started again.

#include "runtime/cluster/cluster_state.hpp"
#include "runtime/dispatch/placement.hpp"

#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

namespace troupe {

std::vector<std::byte> encode_placement(const placement_lists& x);

/// Error: invalid_input, if the bytes are no placement.
result<placement_lists> decode_placement(std::span<const std::byte> bytes);

struct first_placement {
  placement map;
  std::string trouble; ///< Not empty: why it is not the one that was kept.
};

/// What follows on `kept`, of `last_epoch`: the same replicas at the same
/// workers, each in the first slots, of the epoch behind. Nothing kept: `first`
/// as it is. What does not fit the workers that there are now, or leaves an
/// expert without one that is there at the start, is `first` of that epoch.
/// Workers of `later` nodes that hold nothing in it hold what they do in
/// `first`.
first_placement go_on_with(const placement& first, uint32_t last_epoch,
                           std::span<const std::byte> kept,
                           const std::set<node_id>& later = {});

/// The same of each unit, from the state of a cluster: those that were kept.
/// Null: none was. `trouble`: of the last one that has any.
std::shared_ptr<const placements_of_units>
go_on_with(const std::vector<placement>& first,
           const std::optional<cluster_state>& kept, std::string& trouble,
           const std::set<node_id>& later = {});

} // namespace troupe
