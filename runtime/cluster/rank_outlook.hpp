#pragma once

/// Which ranks can run requests, and who is in the way where none can: a rank
/// needs its own node, and every expert of its unit. A plain class, of whoever
/// gives requests to ranks and hears verdicts.

#include "runtime/cluster/missing_experts.hpp"
#include "runtime/topology.hpp"

#include <optional>
#include <set>
#include <vector>

namespace troupe {

class rank_outlook {
public:
  explicit rank_outlook(const topology& cluster);

  /// [unit]: the placements that the cluster began with. Only the first call
  /// counts.
  void begin_with(const std::vector<placement>& first);

  void lost(node_id node, bool has_come = true);
  void back(node_id node);

  /// Its ranks are given requests only where there are no others.
  void leaves(std::optional<node_id> node) {
    leaving_ = node;
  }

  /// Whether its node is that one.
  bool is_leaving(uint32_t rank) const {
    return node_of_rank_[rank] == leaving_;
  }

  /// The newest of its unit.
  void placed(placement newest);

  /// Experts that the unit misses come back with their nodes alone. Returns
  /// whether that is news.
  bool give_up(unit_id unit);

  /// Those that can be given requests: whose unit misses no expert if there are
  /// any, and else those that get theirs before long. Ascending.
  std::vector<rank_id> usable() const;

  /// Of these the ones at other nodes than this; all, if there are no others.
  std::vector<rank_id> usable_beside(node_id node) const;

  /// Those of them that could begin at once.
  bool can_begin() const;

  /// Whose node is there, but whose unit misses an expert that it will not get.
  std::vector<rank_id> stranded() const;

  /// The lost node that `wanted` needs, or without which no rank at all is
  /// usable.
  std::optional<node_id> obstacle(std::optional<uint32_t> wanted) const;

  /// Whether experts that somebody misses are to get a place elsewhere.
  bool are_awaited() const;

  /// Ranks whose node is there.
  uint32_t num_alive() const;

private:
  enum class state : uint8_t { fit, waits, stranded, lost };

  state state_of(uint32_t rank) const;
  std::optional<node_id> missing_of(unit_id unit) const;

  std::vector<node_id> node_of_rank_;
  std::vector<unit_id> unit_of_rank_;
  /// [unit]: nodes with workers of it.
  std::vector<std::set<node_id>> worker_nodes_;
  std::vector<missing_experts> missing_; ///< [unit]
  std::set<node_id> lost_;
  std::optional<node_id> leaving_;
  std::optional<node_id> last_with_ranks_; ///< Of them, to be lost.
};

} // namespace troupe
