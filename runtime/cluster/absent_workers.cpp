#include "runtime/cluster/absent_workers.hpp"

namespace troupe {

bool absent_workers::lost(node_id node) {
  nodes_.insert(node);
  return lost_.insert(node).second;
}

bool absent_workers::back(node_id node) {
  if (lost_.erase(node) == 0 || epoch_ != first_)
    return false;
  nodes_.erase(node);
  return true;
}

void absent_workers::placed(uint32_t epoch) {
  if (epoch <= epoch_)
    return;
  epoch_ = epoch;
  nodes_ = lost_;
}

} // namespace troupe
