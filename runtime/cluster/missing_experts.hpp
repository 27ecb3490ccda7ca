#pragma once

/// Whether there are experts that nobody has, who took the last one, and
/// whether they come back without it. A plain class.

#include "runtime/cluster/absent_workers.hpp"

#include <optional>

namespace troupe {

class missing_experts {
public:
  /// The placement that the cluster began with. Only the first call counts.
  void begin_with(const placement& first);

  /// `node` has workers. It may be one that has never come.
  void lost(node_id node, bool has_come = true);
  void back(node_id node);
  void placed(placement newest);

  /// There is no room for those who are missing, or nobody to read them from.
  void give_up() {
    is_awaited_ = false;
  }

  /// The last one of those who had all replicas of an expert that nobody has;
  /// nothing if every expert has a worker. It may be back, if its experts have
  /// no place yet.
  std::optional<node_id> node() const {
    return node_;
  }

  /// Whether they are to get a place elsewhere.
  bool are_awaited() const {
    return node_ && is_awaited_;
  }

private:
  void look(std::optional<node_id> last);

  std::optional<placement> map_; ///< The newest.
  absent_workers absent_;
  std::set<node_id> never_came_;
  std::optional<node_id> node_;
  bool is_awaited_ = false;
};

} // namespace troupe
