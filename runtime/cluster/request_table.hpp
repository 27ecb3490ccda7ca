#pragma once

/// The gateway's memory: every accepted request, who owns it and what has been
/// committed to its client. The gateway is the commit point: it lets a token
/// in only if the term is the request's own and the position the next one.
/// Terms cross in schemas/wire.capnp.

#include "runtime/cluster/membership.hpp"
#include "runtime/dispatch/placement.hpp"
#include "runtime/service.hpp"

#include <map>
#include <optional>
#include <vector>

namespace troupe {

class request_table {
public:
  explicit request_table(uint32_t num_ranks) : load_(num_ranks) {
  }

  struct owner {
    rank_id rank = 0;
    uint32_t term = 0;
  };

  /// Remembers a request and gives it to the rank with the fewest open
  /// requests among `usable` (not empty), ties to the lowest.
  owner accept(request_id id, const std::vector<rank_id>& usable);

  /// What became of an event from a scheduler.
  enum class verdict {
    committed,
    refused, ///< Of another term, or known already.
    gap,     ///< Its owner's, but not the next: what came before was lost.
    unknown,
  };

  /// Commits `event` if its term and position are right; forgets the request
  /// if that was its end.
  verdict commit(request_id id, uint32_t term, const generation_event& event);

  /// Forgets a request; returns who ran it.
  std::optional<owner> remove(request_id id);

  /// Returns the requests of a rank.
  std::vector<request_id> requests_of(rank_id rank) const;
  std::vector<request_id> all() const;

private:
  struct entry {
    owner who;
    uint32_t next_position = 0;
  };

  std::map<request_id, entry> entries_;
  std::vector<uint32_t> load_; ///< Open requests of each rank.
};

} // namespace troupe
