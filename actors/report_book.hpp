#pragma once

/// What nodes have last reported of themselves, and what their former processes
/// had counted: a part of the gateway's actor, which hands on what concerns it.

#include "actors/cast.hpp"

#include <map>

namespace troupe {

class report_book {
public:
  report_book() = default;

  explicit report_book(std::shared_ptr<gateway_status> status)
    : status_(std::move(status)) {
  }

  /// Makes room for so many nodes, before the gateway is there.
  static void open(gateway_status& status, size_t num_nodes);

  /// Returns whether it is of the process that is there.
  bool take(const node_report& msg);

  /// What that process has counted stays; what it had is gone.
  void lose(node_id node, uint64_t incarnation);

private:
  void forget_gauges(node_id node);

  std::shared_ptr<gateway_status> status_;
  std::map<node_id, uint64_t> over_; ///< The last incarnation that was lost.
};

} // namespace troupe
