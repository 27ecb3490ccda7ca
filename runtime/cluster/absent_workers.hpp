#pragma once

/// To whose workers nobody turns: those of nodes that are lost, and of those
/// that are back but hold something else than the placement says. A plain
/// class, of whoever plans by placements and hears verdicts.

#include "runtime/dispatch/placement.hpp"

#include <set>

namespace troupe {

class absent_workers {
public:
  /// The epoch of the placement that the cluster begins with, if that is not
  /// the usual one. Before any that follow.
  void begin_with(uint32_t epoch) {
    first_ = epoch_ = epoch;
  }

  /// Returns whether that is news.
  bool lost(node_id node);

  /// Another process is that node. Its workers hold what the first placement
  /// says: they are turned to at once if that is the newest, and else once
  /// there is a newer one than now. Returns whether they are.
  bool back(node_id node);

  /// This is the newest placement. Late ones change nothing.
  void placed(uint32_t epoch);

  /// All to whom nobody turns.
  const std::set<node_id>& nodes() const {
    return nodes_;
  }

  /// Those of them of which there is no process.
  const std::set<node_id>& without_process() const {
    return lost_;
  }

private:
  uint32_t first_ = placement::first_epoch;
  uint32_t epoch_ = placement::first_epoch;
  std::set<node_id> lost_;
  std::set<node_id> nodes_;
};

} // namespace troupe
