#pragma once

/// Which ranks may compute the beginning of a request and which go on with it,
/// by what their units are for. Nobody waits for a unit while another could do
/// the work: those that decode read prompts, too, if nobody else is left, and
/// those that prefill go on with what they have read.

#include "runtime/dispatch/placement.hpp"
#include "runtime/topology.hpp"

#include <vector>

namespace troupe {

/// Whether blocks of the cache go from ranks to ranks with requests.
bool moves_blocks(const topology& cluster);

class unit_choice {
public:
  explicit unit_choice(const topology& cluster);

  /// Of `usable`, in its order: those that may compute what there is of a
  /// request. Empty only if `usable` is.
  std::vector<rank_id> to_begin(const std::vector<rank_id>& usable) const;

  /// Of `usable`, in its order: those that go on behind the next token with
  /// what `from` has begun. Empty: `from` itself does.
  std::vector<rank_id> to_follow(rank_id from,
                                 const std::vector<rank_id>& usable) const;

private:
  std::vector<rank_id> without(unit_role role,
                               const std::vector<rank_id>& all) const;

  std::vector<unit_role> roles_; ///< By rank.
};

} // namespace troupe
