#include "runtime/cluster/missing_experts.hpp"

#include "runtime/cluster/repair_plan.hpp"

#include <utility>

namespace troupe {

void missing_experts::begin_with(const placement& first) {
  if (map_)
    return;
  map_ = first;
  absent_.begin_with(first.epoch());
}

void missing_experts::lost(node_id node) {
  absent_.lost(node);
  look(node);
}

void missing_experts::back(node_id node) {
  absent_.back(node);
  look(node_);
}

void missing_experts::placed(placement newest) {
  absent_.placed(newest.epoch());
  map_ = std::move(newest);
  look(node_);
}

/// Before the parts are there nobody knows who has what: all are missing.
void missing_experts::look(std::optional<node_id> last) {
  node_ = std::nullopt;
  auto& gone = absent_.nodes();
  auto left = map_ ? std::optional{map_->left_by(gone)} : std::nullopt;
  if (gone.empty() || (left && left->num_waiting() == 0))
    return;
  node_ = last && gone.contains(*last) ? *last : *gone.rbegin();
  // Whoever is back has room, and what it holds.
  is_awaited_ = left && can_repair(*left, absent_.without_process());
}

} // namespace troupe
