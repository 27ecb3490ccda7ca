#include "runtime/dispatch/placement.hpp"

#include "kernels/check.hpp"

#include <algorithm>

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
    num_slots_ = std::max(num_slots_, static_cast<uint32_t>(last - first));
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

} // namespace troupe
