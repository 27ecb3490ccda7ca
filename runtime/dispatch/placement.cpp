#include "runtime/dispatch/placement.hpp"

#include "kernels/check.hpp"

#include <algorithm>
#include <numeric>

namespace troupe {

placement::placement(uint32_t num_moe_layers, uint32_t num_experts,
                     uint32_t num_workers, std::vector<node_id> node_of_worker,
                     unit_id unit, uint32_t epoch)
  : unit_(unit), epoch_(epoch), num_moe_layers_(num_moe_layers),
    num_experts_(num_experts), node_of_worker_(std::move(node_of_worker)) {
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
  uint16_t expert = 0; ///< Logical.
};

/// `first` is the number of the first choice in the batch.
std::vector<assignment>
sorted_assignments(const placement& map, uint32_t moe_layer,
                   std::span<const int32_t> experts, uint32_t first) {
  std::vector<assignment> out(experts.size());
  for (uint32_t i = 0; i < experts.size(); ++i)
    out[i] = {map.slot_of(moe_layer, uint32_t(experts[i])), first + i,
              uint16_t(experts[i])};
  std::ranges::stable_sort(out, [](auto& x, auto& y) {
    return std::pair{x.slot.worker, x.slot.slot}
           < std::pair{y.slot.worker, y.slot.slot};
  });
  return out;
}

/// Collects the sections of one node; gives each token one row of the slab.
/// `row` is the one of the token at hand, `none` as long as it has none.
class slab_builder {
public:
  slab_builder(slab_plan& slab, uint32_t& row) : slab_(slab), row_(row) {
  }

  void add(const assignment& x, uint32_t token) {
    if (slab_.sections.empty() || slab_.sections.back().worker != x.slot.worker)
      slab_.sections.push_back({x.slot.worker, {}, {}, {}});
    auto& section = slab_.sections.back();
    auto at = static_cast<uint32_t>(section.row.size());
    if (section.slots.empty() || section.slots.back().slot != x.slot.slot) {
      section.slots.push_back({x.slot.slot, at, 0});
      section.experts.push_back(x.expert);
    }
    ++section.slots.back().count;
    section.row.push_back(row_of(token));
  }

private:
  static constexpr uint32_t none = UINT32_MAX;

  uint32_t row_of(uint32_t token) {
    if (row_ == none) {
      row_ = static_cast<uint32_t>(slab_.tokens.size());
      slab_.tokens.push_back(token);
    }
    return row_;
  }

  slab_plan& slab_;
  uint32_t& row_;
};

/// Appends the slabs of some choices, whose answers lie from `first` on.
void add_piece(dispatch_plan& plan, const placement& map,
               const std::vector<assignment>& sorted, uint32_t first,
               uint32_t num_tokens, uint32_t top_k) {
  auto first_slab = plan.slabs.size();
  auto first_part = plan.workers.size();
  auto first_token = first / top_k;
  std::vector<uint32_t> row_of_token; // of this piece
  for (uint32_t i = 0; i < sorted.size(); ++i) {
    auto& x = sorted[i];
    auto node = map.node_of(x.slot.worker);
    if (plan.slabs.size() == first_slab || plan.slabs.back().node != node) {
      plan.slabs.push_back({node, first + i, {}, {}});
      row_of_token.assign(num_tokens, UINT32_MAX);
    }
    auto token = x.choice / top_k;
    slab_builder{plan.slabs.back(), row_of_token[token - first_token]}.add(
      x, token);
    if (plan.workers.size() == first_part
        || plan.workers.back().worker != x.slot.worker)
      plan.workers.push_back({x.slot.worker, first + i, 0});
    ++plan.workers.back().count;
    plan.row_of[x.choice] = first + i;
  }
}

} // namespace

dispatch_plan plan_dispatch(const placement& map, uint32_t moe_layer,
                            std::span<const int32_t> experts, uint32_t top_k,
                            uint32_t max_rows) {
  CHECK(max_rows > 0);
  dispatch_plan plan;
  plan.row_of.resize(experts.size());
  auto num_tokens = static_cast<uint32_t>(experts.size() / top_k);
  for (uint32_t token = 0; token < num_tokens;) {
    auto count = std::min(max_rows, num_tokens - token);
    auto first = token * top_k;
    auto sorted = sorted_assignments(
      map, moe_layer, experts.subspan(first, size_t{count} * top_k), first);
    add_piece(plan, map, sorted, first, count, top_k);
    token += count;
  }
  return plan;
}

} // namespace troupe
