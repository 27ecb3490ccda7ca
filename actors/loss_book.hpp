#pragma once

/// Which nodes are lost or have left, and what is said of that: a part of the
/// gateway's actor.

#include "actors/cast.hpp"
#include "runtime/cluster/lost_processes.hpp"
#include "runtime/cluster/rank_outlook.hpp"

#include <map>

namespace troupe {

class loss_book {
public:
  /// Returns whether a node is lost that served. Else it is a successor that
  /// was not back: what became of the one before stays true.
  bool lose(const node_lost& msg);

  /// Returns whether it was lost.
  bool take_back(node_id node) {
    auto i = lost_.find(node);
    if (i == lost_.end())
      return false;
    num_back_ += is_not_here_yet(i->second) ? 0 : 1;
    lost_.erase(i);
    return true;
  }

  /// The last loss of a node that was lost at any time.
  const node_lost& last_of(node_id node) const {
    return last_.at(node);
  }

  /// Those that are lost at present.
  lost_processes processes() const;

  /// Tells clients and operators. `is_started`: the cluster serves.
  void publish(gateway_status& status, const rank_outlook& outlook,
               bool is_started) const;

private:
  std::string trouble(const rank_outlook& outlook, bool is_started) const;

  std::map<node_id, node_lost> lost_; ///< At present.
  std::map<node_id, node_lost> last_; ///< Of each.
  uint64_t num_back_ = 0;
};

} // namespace troupe
