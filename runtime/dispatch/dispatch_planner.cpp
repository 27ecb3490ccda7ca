#include "runtime/dispatch/dispatch_planner.hpp"

#include "kernels/check.hpp"

#include <algorithm>
#include <tuple>

namespace troupe {

namespace {

constexpr uint32_t no_row = UINT32_MAX;

/// Takes one of `from`, or makes one.
template <class T>
T take(std::vector<T>& from) {
  if (from.empty())
    return {};
  auto out = std::move(from.back());
  from.pop_back();
  return out;
}

} // namespace

dispatch_planner::dispatch_planner(const placement& map, uint32_t top_k,
                                   rank_id rank, uint32_t max_rows)
  : map_(&map), top_k_(top_k), rank_(rank), max_rows_(max_rows) {
  CHECK(top_k > 0 && max_rows > 0);
}

bool dispatch_planner::plan(uint32_t moe_layer,
                            std::span<const int32_t> experts,
                            std::span<const uint32_t> positions,
                            dispatch_plan& plan) {
  take_apart(plan);
  plan.row_of.resize(experts.size());
  auto num_tokens = static_cast<uint32_t>(experts.size() / top_k_);
  CHECK(positions.size() == num_tokens);
  for (uint32_t token = 0; token < num_tokens;) {
    auto count = std::min(max_rows_, num_tokens - token);
    auto first = token * top_k_;
    if (!sort(moe_layer, experts.subspan(first, size_t{count} * top_k_),
              positions.subspan(token, count), first)) {
      take_apart(plan);
      return false;
    }
    add_piece(plan, first);
    token += count;
  }
  make_room_for(plan);
  return true;
}

/// So that taking it apart takes no memory.
void dispatch_planner::make_room_for(const dispatch_plan& plan) {
  auto num_sections = sections_.size();
  for (auto& slab : plan.slabs)
    num_sections += slab.sections.size();
  slabs_.reserve(slabs_.size() + plan.slabs.size());
  sections_.reserve(num_sections);
}

void dispatch_planner::take_apart(dispatch_plan& plan) {
  for (auto& slab : plan.slabs) {
    for (auto& x : slab.sections) {
      x.slots.clear();
      x.row.clear();
      x.experts.clear();
      sections_.push_back(std::move(x));
    }
    slab.tokens.clear();
    slab.sections.clear();
    slabs_.push_back(std::move(slab));
  }
  plan.slabs.clear();
  plan.row_of.clear();
  plan.workers.clear();
}

/// `first` is the number of the first choice in the batch. Returns whether
/// everybody who was chosen has a replica.
bool dispatch_planner::sort(uint32_t moe_layer,
                            std::span<const int32_t> experts,
                            std::span<const uint32_t> positions,
                            uint32_t first) {
  sorted_.resize(experts.size());
  most_ = std::max(most_, experts.size());
  for (uint32_t i = 0; i < experts.size(); ++i) {
    auto expert = static_cast<uint32_t>(experts[i]);
    if (map_->replicas_of(moe_layer, expert).empty())
      return false;
    auto turn = positions[i / top_k_] + rank_ + moe_layer;
    sorted_[i] = {map_->choose(moe_layer, expert, turn), first + i,
                  uint16_t(expert)};
  }
  // No two are equal, and a stable sort would take memory.
  std::ranges::sort(sorted_, {}, [](auto& x) {
    return std::tuple{x.slot.worker, x.slot.slot, x.choice};
  });
  return true;
}

/// Appends the slabs of the choices that were sorted, whose answers lie from
/// `first` on.
void dispatch_planner::add_piece(dispatch_plan& plan, uint32_t first) {
  auto first_slab = plan.slabs.size();
  auto first_part = plan.workers.size();
  auto first_token = first / top_k_;
  for (uint32_t i = 0; i < sorted_.size(); ++i) {
    auto& x = sorted_[i];
    auto node = map_->node_of(x.slot.worker);
    if (plan.slabs.size() == first_slab || plan.slabs.back().node != node)
      add_slab(plan, node, first + i);
    add_to_slab(plan.slabs.back(), x,
                row_of_token_[x.choice / top_k_ - first_token]);
    if (plan.workers.size() == first_part
        || plan.workers.back().worker != x.slot.worker)
      plan.workers.push_back({x.slot.worker, first + i, 0});
    ++plan.workers.back().count;
    plan.row_of[x.choice] = first + i;
  }
}

// Whatever is begun gets room for as much as may come into it when it is used
// again.

void dispatch_planner::add_slab(dispatch_plan& plan, node_id node,
                                uint32_t first) {
  auto& slab = plan.slabs.emplace_back(take(slabs_));
  slab.node = node;
  slab.first = first;
  slab.tokens.reserve(most_ / top_k_);
  slab.sections.reserve(std::min(most_, size_t{map_->num_workers()}));
  row_of_token_.assign(sorted_.size() / top_k_, no_row);
}

void dispatch_planner::add_section(slab_plan& slab, worker_id worker) {
  auto& section = slab.sections.emplace_back(take(sections_));
  section.worker = worker;
  auto num_slots = std::min(most_, size_t{map_->num_slots()});
  section.slots.reserve(num_slots);
  section.experts.reserve(num_slots);
  // A row has one choice in a slot.
  section.row.reserve(most_ / top_k_ * std::min(num_slots, size_t{top_k_}));
}

/// `row` is the one of the token in the slab; it is given one if it has none.
void dispatch_planner::add_to_slab(slab_plan& slab, const assignment& x,
                                   uint32_t& row) {
  if (slab.sections.empty() || slab.sections.back().worker != x.slot.worker)
    add_section(slab, x.slot.worker);
  auto& section = slab.sections.back();
  auto at = static_cast<uint32_t>(section.row.size());
  if (section.slots.empty() || section.slots.back().slot != x.slot.slot) {
    section.slots.push_back({x.slot.slot, at, 0});
    section.experts.push_back(x.expert);
  }
  ++section.slots.back().count;
  if (row == no_row) {
    row = static_cast<uint32_t>(slab.tokens.size());
    slab.tokens.push_back(x.choice / top_k_);
  }
  section.row.push_back(row);
}

} // namespace troupe
