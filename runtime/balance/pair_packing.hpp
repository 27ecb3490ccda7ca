#pragma once

/// Workers of two slots each, filled from nothing. A worker is a line between
/// two experts, and experts that hang together by lines share their workers'
/// fullness: W workers and E experts make at least E - W *clusters*, trees with
/// one worker fewer than experts. So counts of replicas, places and shares are
/// one question: which experts to put into which cluster.

#include "runtime/balance/expert_layout.hpp"

namespace troupe::balance {

/// Whether there are two slots to each worker, and more experts than workers.
bool has_pairs(const layout_shape& shape);

/// The experts of each slot. Clusters are filled heaviest first, then improved
/// by exchanges between the fullest and others, then laid out as trees whose
/// workers lie on different nodes.
std::vector<uint32_t> pack_pairs(const layout_shape& shape,
                                 std::span<const double> loads);

} // namespace troupe::balance
