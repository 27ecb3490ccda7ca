#include "runtime/dispatch/placement.hpp"

#include "kernels/check.hpp"

#include <algorithm>
#include <numeric>

namespace troupe {

placement::placement(uint32_t num_moe_layers, uint32_t num_experts,
                     uint32_t num_workers, std::vector<node_id> node_of_worker)
  : num_moe_layers_(num_moe_layers), num_experts_(num_experts),
    node_of_worker_(std::move(node_of_worker)) {
  CHECK(num_workers > 0 && num_workers <= num_experts);
  CHECK(node_of_worker_.size() == num_workers);
  slots_.resize(size_t{num_moe_layers} * num_experts);
  for (uint32_t w = 0; w < num_workers; ++w) {
    auto first = uint64_t{w} * num_experts / num_workers;
    auto last = uint64_t{w + 1} * num_experts / num_workers;
    for (auto e = first; e < last; ++e)
      for (uint32_t layer = 0; layer < num_moe_layers; ++layer)
        slots_[layer * num_experts + e] = {worker_id(w), uint16_t(e - first)};
  }
}

std::vector<std::vector<uint32_t>>
placement::experts_of(worker_id worker) const {
  std::vector<std::vector<uint32_t>> out(num_moe_layers_);
  for (uint32_t layer = 0; layer < num_moe_layers_; ++layer)
    for (uint32_t e = 0; e < num_experts_; ++e) {
      auto [w, slot] = slot_of(layer, e);
      if (w != worker)
        continue;
      out[layer].resize(std::max<size_t>(out[layer].size(), slot + 1u));
      out[layer][slot] = e;
    }
  return out;
}

namespace {

/// One (row, choice) pair on its way to a slot.
struct assignment {
  slot_address slot;
  uint32_t choice = 0; ///< row * top_k + i
};

std::vector<assignment> sorted_assignments(const placement& map,
                                           uint32_t moe_layer,
                                           std::span<const int32_t> experts) {
  std::vector<assignment> out(experts.size());
  for (uint32_t i = 0; i < experts.size(); ++i)
    out[i] = {map.slot_of(moe_layer, uint32_t(experts[i])), i};
  std::ranges::stable_sort(out, [](auto& x, auto& y) {
    return std::pair{x.slot.worker, x.slot.slot}
           < std::pair{y.slot.worker, y.slot.slot};
  });
  return out;
}

/// Collects the sections of one node; gives each token one row of the slab.
class slab_builder {
public:
  slab_builder(slab_plan& slab, std::vector<uint32_t>& row_of_token)
    : slab_(slab), row_of_token_(row_of_token) {
  }

  void add(const assignment& x, uint32_t token) {
    if (slab_.sections.empty() || slab_.sections.back().worker != x.slot.worker)
      slab_.sections.push_back({x.slot.worker, {}, {}});
    auto& section = slab_.sections.back();
    auto at = static_cast<uint32_t>(section.row.size());
    if (section.slots.empty() || section.slots.back().slot != x.slot.slot)
      section.slots.push_back({x.slot.slot, at, 0});
    ++section.slots.back().count;
    section.row.push_back(row_of(token));
  }

private:
  static constexpr uint32_t none = UINT32_MAX;

  uint32_t row_of(uint32_t token) {
    auto& row = row_of_token_[token];
    if (row == none) {
      row = static_cast<uint32_t>(slab_.tokens.size());
      slab_.tokens.push_back(token);
    }
    return row;
  }

  slab_plan& slab_;
  std::vector<uint32_t>& row_of_token_;
};

} // namespace

dispatch_plan plan_dispatch(const placement& map, uint32_t moe_layer,
                            std::span<const int32_t> experts, uint32_t top_k) {
  dispatch_plan plan;
  plan.row_of.resize(experts.size());
  auto sorted = sorted_assignments(map, moe_layer, experts);
  std::vector<uint32_t> row_of_token;
  for (uint32_t i = 0; i < sorted.size(); ++i) {
    auto& x = sorted[i];
    auto node = map.node_of(x.slot.worker);
    if (plan.slabs.empty() || plan.slabs.back().node != node) {
      plan.slabs.push_back({node, {}, {}});
      row_of_token.assign(experts.size() / top_k, UINT32_MAX);
    }
    slab_builder{plan.slabs.back(), row_of_token}.add(x, x.choice / top_k);
    if (plan.workers.empty() || plan.workers.back().worker != x.slot.worker)
      plan.workers.push_back({x.slot.worker, i, 0});
    ++plan.workers.back().count;
    plan.row_of[x.choice] = i;
  }
  return plan;
}

} // namespace troupe
